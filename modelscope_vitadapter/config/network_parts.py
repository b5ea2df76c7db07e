"""Settings that several parts of the network share: norms, activations, layers, encodings."""

import math

from modelscope_vitadapter.config.fields import Fields
from modelscope_vitadapter.config.settings import (
    Activation,
    AttentionSettings,
    BranchDropout,
    DeformableAttentionSettings,
    Encoding,
    FeedForwardSettings,
    LearnedEncoding,
    MapNorm,
    SineEncoding,
    TokenNorm,
)
from modelscope_vitadapter.errors import ConfigError
from modelscope_vitadapter.validation import shown

ACTIVATION_OPTIONS: dict[str, tuple[str, ...]] = {
    "ReLU": (),
    "GELU": (),
    "LeakyReLU": ("negative_slope",),
    "PReLU": ("num_parameters", "init"),
    "ReLU6": (),
    "ELU": ("alpha",),
    "SiLU": (),
    "Sigmoid": (),
    "Tanh": (),
}
"""Activations by their names in mmcv's registry and `torch.nn`, with the options they take."""


def parse_activation(fields: Fields) -> Activation:
    """Reads `dict(type='ReLU', ...)`; `inplace` never changes the answer."""
    kind = fields.kind(*ACTIVATION_OPTIONS)
    fields.skip("inplace")
    options = tuple(
        (name, _activation_option(fields, name))
        for name in ACTIVATION_OPTIONS[kind]
        if fields.has(name)
    )
    fields.finish()
    return Activation(kind, options)


def _activation_option(fields: Fields, name: str) -> float:
    if name == "num_parameters":
        return fields.integer(name)
    return fields.number(name, low=-1e12)


def optional_activation(parent: Fields, key: str, default: Activation) -> Activation | None:
    """Reads an activation that may be missing (`default`) or None (no activation)."""
    if not parent.has(key):
        return default
    value = parent.take(key)
    return None if value is None else parse_activation(Fields(value, f"{parent.path}.{key}"))


def parse_map_norm(parent: Fields, key: str) -> MapNorm | None:
    """Reads the norm of convolutions; group norm with 32 groups where it is missing."""
    value = parent.take(key, {"type": "GN", "num_groups": 32})
    if value is None:
        return None
    fields = Fields(value, f"{parent.path}.{key}")
    kind = fields.kind("GN", "BN", "BN2d", "SyncBN", "IN", "IN2d")
    short = {"BN2d": "BN", "SyncBN": "BN", "IN2d": "IN"}.get(kind, kind)
    eps = fields.number("eps", 1e-5)
    affine = fields.boolean("affine", short != "IN")
    requires_grad = fields.boolean("requires_grad", True)
    if kind == "GN":
        norm = MapNorm("GN", fields.integer("num_groups"), eps, 0.1, affine, False, requires_grad)
    else:
        norm = MapNorm(
            kind=short,
            eps=eps,
            momentum=fields.number("momentum", 0.1),
            affine=affine,
            track_running_stats=fields.boolean("track_running_stats", short == "BN"),
            requires_grad=requires_grad,
        )
    fields.finish()
    return norm


def parse_token_norm(parent: Fields, key: str) -> TokenNorm:
    """Reads a layer norm; the default one where it is missing."""
    fields = Fields(parent.take(key, {"type": "LN"}), f"{parent.path}.{key}")
    fields.kind("LN")
    norm = TokenNorm(
        eps=fields.number("eps", 1e-5),
        elementwise_affine=fields.boolean("elementwise_affine", True),
        requires_grad=fields.boolean("requires_grad", True),
    )
    fields.finish()
    return norm


def parse_branch_dropout(parent: Fields, key: str) -> BranchDropout:
    """Reads `dict(type='DropPath', drop_prob=0.1)`, None or nothing."""
    value = parent.take(key, None)
    if not value:
        return BranchDropout()
    fields = Fields(value, f"{parent.path}.{key}")
    kind = fields.kind("Dropout", "DropPath")
    default = 0.5 if kind == "Dropout" else 0.1
    dropout = BranchDropout(kind, fields.probability("drop_prob", default))
    fields.skip("inplace")
    fields.finish()
    return dropout


def parse_encoding(fields: Fields, channels: int) -> Encoding:
    """Reads a positional encoding for maps of `channels` channels."""
    kind = fields.kind("SinePositionalEncoding", "LearnedPositionalEncoding")
    num_feats = fields.integer("num_feats")
    if num_feats * 2 != channels or (kind.startswith("Sine") and num_feats % 2):
        raise fields.refuse(
            "num_feats", num_feats, f"{channels / 2:g}, half of the {channels} channels"
        )
    fields.skip("init_cfg")
    encoding: Encoding
    if kind == "SinePositionalEncoding":
        encoding = SineEncoding(
            num_feats=num_feats,
            temperature=fields.number("temperature", 10000),
            normalize=fields.boolean("normalize", False),
            scale=fields.number("scale", 2 * math.pi),
            eps=fields.number("eps", 1e-6),
            offset=fields.number("offset", 0.0, low=-1e12),
        )
    else:
        encoding = LearnedEncoding(
            num_feats=num_feats,
            row_num_embed=fields.integer("row_num_embed", 50),
            col_num_embed=fields.integer("col_num_embed", 50),
        )
    fields.finish()
    return encoding


def _embed_dims(fields: Fields, default: int, channels: int, key: str = "embed_dims") -> None:
    """Takes a width that must be the head's `feat_channels`."""
    width = fields.integer(key, default)
    if width != channels:
        raise fields.refuse(key, width, f"{channels}, the head's feat_channels")


def _heads(fields: Fields, channels: int, default: int | None = None) -> int:
    heads = fields.integer("num_heads") if default is None else fields.integer("num_heads", default)
    if channels % heads:
        raise fields.refuse("num_heads", heads, f"a divisor of {channels}, the channels")
    return heads


def parse_deformable_attention(fields: Fields, channels: int) -> DeformableAttentionSettings:
    """Reads `MultiScaleDeformableAttention` as mmcv spells it."""
    fields.kind("MultiScaleDeformableAttention")
    _embed_dims(fields, 256, channels)
    fields.only("batch_first", False, default=False)
    fields.skip("im2col_step", "norm_cfg", "init_cfg")
    settings = DeformableAttentionSettings(
        num_heads=_heads(fields, channels, 8),
        num_levels=fields.integer("num_levels", 4, high=4),
        num_points=fields.integer("num_points", 4, high=1024),
        dropout=fields.probability("dropout", 0.1),
    )
    fields.finish()
    return settings


def parse_attention(fields: Fields, channels: int) -> AttentionSettings:
    """Reads `MultiheadAttention` as mmcv spells it."""
    fields.kind("MultiheadAttention")
    _embed_dims(fields, channels, channels)
    fields.only("batch_first", False, default=False)
    fields.skip("init_cfg")
    attn_drop = fields.probability("attn_drop", 0.0)
    branch_dropout = parse_branch_dropout(fields, "dropout_layer")
    if fields.has("dropout"):  # mmcv's older key stands for both
        attn_drop = fields.probability("dropout")
        branch_dropout = BranchDropout(branch_dropout.kind or "Dropout", attn_drop)
    settings = AttentionSettings(
        num_heads=_heads(fields, channels),
        attn_drop=attn_drop,
        proj_drop=fields.probability("proj_drop", 0.0),
        branch_dropout=branch_dropout,
    )
    fields.finish()
    return settings


MAX_OPERATIONS = 64
"""Steps of one transformer layer, where published ones have four to six."""

OVERRIDES = {
    "feedforward_channels": "feedforward_channels",
    "ffn_dropout": "ffn_drop",
    "ffn_num_fcs": "num_fcs",
}
"""A layer's own keys that override those of its `ffn_cfgs` (mmcv 1.x, `BaseTransformerLayer`)."""


def parse_feed_forward(
    layer: Fields, channels: int, defaults: dict[str, object]
) -> FeedForwardSettings:
    """Reads a layer's `ffn_cfgs`, with the layer's own older keys put over it.

    Args:
        layer: the `transformerlayers` dictionary.
        channels: the width of the tokens.
        defaults: values of the older keys where the layer has none.
    """
    values = layer.take("ffn_cfgs", {"embed_dims": 256})
    path = f"{layer.path}.ffn_cfgs"
    if not isinstance(values, dict):
        raise ConfigError(
            f"{path} = {shown(values)} can't be honoured: expected one dict(...). Change it in "
            "mmcv_config.py"
        )
    values = dict(values)
    for older, key in OVERRIDES.items():
        override = layer.take(older, defaults.get(older))
        if override is not None:
            values[key] = override
    fields = Fields(values, path)
    fields.kind("FFN", default="FFN")
    _embed_dims(fields, channels, channels)
    fields.skip("with_cp", "init_cfg")
    activation = optional_activation(fields, "act_cfg", Activation())
    if activation is None:
        raise fields.refuse("act_cfg", None, "an activation such as dict(type='ReLU')")
    drop = "dropout" if fields.has("dropout") else "ffn_drop"
    identity = "add_residual" if fields.has("add_residual") else "add_identity"
    settings = FeedForwardSettings(
        feedforward_channels=fields.integer("feedforward_channels", 1024),
        num_fcs=fields.integer("num_fcs", 2, low=2, high=64),
        activation=activation,
        ffn_drop=fields.probability(drop, 0.0),
        branch_dropout=parse_branch_dropout(fields, "dropout_layer"),
        add_identity=fields.boolean(identity, True),
    )
    fields.finish()
    return settings


def parse_operation_order(fields: Fields, attentions: tuple[str, ...]) -> tuple[str, ...]:
    """Reads `operation_order`, whose attentions must be `attentions` in this order."""
    order = fields.take("operation_order")
    listed = isinstance(order, (list, tuple)) and all(isinstance(step, str) for step in order)
    steps = tuple(order) if listed else ()
    found = tuple(step for step in steps if step in ("self_attn", "cross_attn"))
    known = {"self_attn", "cross_attn", "norm", "ffn"}
    too_many = len(steps) > MAX_OPERATIONS
    if not steps or too_many or found != attentions or not set(steps) <= known:
        raise fields.refuse(
            "operation_order",
            order,
            f"at most {MAX_OPERATIONS} of norm, ffn and, in this order, {', '.join(attentions)}",
        )
    return steps
