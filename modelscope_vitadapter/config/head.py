"""Reads `model.decode_head` (Mask2Former) into its settings.

Published configurations agree in all but some sizes; what else they spell out is checked to be
what the network computes.
"""

import math

from modelscope_vitadapter.config.backbone import MAX_LAYERS
from modelscope_vitadapter.config.fields import REQUIRED, Fields
from modelscope_vitadapter.config.settings import DecoderSettings, EncoderSettings, HeadSettings

STRIDES = [4, 8, 16, 32]
"""Strides of the backbone's four maps."""

LEVELS = 3
"""Maps that the encoder works on and that the decoder's queries look at, the coarsest ones."""

ENCODER_ORDER = ("self_attn", "norm", "ffn", "norm")
DECODER_ORDER = ("cross_attn", "norm", "self_attn", "norm", "ffn", "norm")
NORM = {"eps": 1e-5, "requires_grad": True}
"""What every norm of the head has."""


def parse_head(fields: Fields, embed_dim: int) -> HeadSettings:
    """Reads the settings of `Mask2FormerHeadFromMMSeg`; defaults are the built-in model's.

    Args:
        fields: `model.decode_head`.
        embed_dim: channels of the backbone's maps.

    Raises:
        ConfigError: for a setting that can't be honoured, by name.
    """
    fields.kind("Mask2FormerHeadFromMMSeg", "Mask2FormerHead")  # the latter: the authors' name
    fields.skip("train_cfg", "test_cfg", "init_cfg", "sampler", "ignore_index", "dropout_ratio")
    fields.skip("conv_cfg", "norm_cfg", "act_cfg")  # of convolutions that this head doesn't have
    fields.skip_matching("loss_")
    fields.only("in_channels", [embed_dim] * len(STRIDES), default=REQUIRED)
    fields.fixed(in_index=list(range(len(STRIDES))), num_transformer_feat_level=LEVELS)
    fields.fixed(enforce_decoder_input_project=False, align_corners=False)
    channels = fields.integer("feat_channels")
    _check_positions(fields, channels)
    pixel_decoder = fields.child("pixel_decoder")
    settings = HeadSettings(
        feat_channels=channels,
        out_channels=fields.integer("out_channels"),
        num_classes=_num_classes(fields),
        num_queries=fields.integer("num_queries", 100, high=4096),
        num_groups=_num_groups(pixel_decoder, channels),
        encoder=_encoder(pixel_decoder.child("encoder"), channels),
        decoder=_decoder(fields.child("transformer_decoder"), channels),
    )
    _check_pixel_decoder(pixel_decoder, channels)
    fields.finish()
    return settings


def _num_classes(fields: Fields) -> int:
    things = fields.integer("num_things_classes", 80, low=0)
    stuff = fields.integer("num_stuff_classes", 53, low=0)
    if things + stuff < 1:
        raise fields.refuse("num_stuff_classes", stuff, "at least one class in all")
    fields.only("num_classes", things + stuff)
    return things + stuff


def _num_groups(fields: Fields, channels: int) -> int:
    """Groups of the group norm behind each convolution of the pixel decoder."""
    norm = fields.child("norm_cfg", {"type": "GN", "num_groups": 32})
    norm.kind("GN")
    norm.fixed(**NORM)
    groups = norm.divisor("num_groups", channels)
    norm.finish()
    return groups


def _check_pixel_decoder(fields: Fields, channels: int) -> None:
    """Takes what is left of the pixel decoder's entries."""
    fields.kind("MSDeformAttnPixelDecoder")
    fields.skip("init_cfg", "in_channels", "feat_channels", "out_channels")  # the head's are used
    fields.fixed(strides=STRIDES, num_outs=LEVELS)
    _check_activation(fields)
    _check_positions(fields, channels)
    fields.finish()


def _encoder(fields: Fields, channels: int) -> EncoderSettings:
    fields.kind("DetrTransformerEncoder")
    fields.skip("init_cfg", "post_norm_cfg")  # only layers that begin with a norm end with one
    num_layers = fields.integer("num_layers", high=MAX_LAYERS)
    layer = fields.child("transformerlayers")
    fields.finish()
    layer.kind("BaseTransformerLayer")
    attention = layer.child("attn_cfgs")
    attention.kind("MultiScaleDeformableAttention")
    attention.skip("im2col_step", "norm_cfg", "init_cfg")
    attention.only("embed_dims", channels, default=REQUIRED)
    attention.only("num_levels", LEVELS, default=REQUIRED)
    attention.fixed(dropout=0, batch_first=False)
    num_heads = attention.divisor("num_heads", channels, 8)
    num_points = attention.integer("num_points", 4, high=64)
    attention.finish()
    width = _feed_forward(layer, channels)
    _check_layer(layer, ENCODER_ORDER)
    return EncoderSettings(num_layers, num_heads, num_points, width)


def _decoder(fields: Fields, channels: int) -> DecoderSettings:
    fields.kind("DetrTransformerDecoder")
    fields.skip("init_cfg", "return_intermediate")
    _check_layer_norm(fields, "post_norm_cfg")
    num_layers = fields.integer("num_layers", high=MAX_LAYERS)
    layer = fields.child("transformerlayers")
    fields.finish()
    kind = layer.kind("DetrTransformerDecoderLayer", "BaseTransformerLayer")
    if kind == "DetrTransformerDecoderLayer":
        layer.skip("act_cfg")  # mmdet's class doesn't read it, and needs the next
        if not layer.has("feedforward_channels"):
            layer.take("feedforward_channels")
    attention = layer.child("attn_cfgs")
    attention.kind("MultiheadAttention")
    attention.skip("init_cfg")
    attention.fixed(embed_dims=channels, batch_first=False, attn_drop=0, proj_drop=0, dropout=0)
    _check_branch_dropout(attention)
    num_heads = attention.divisor("num_heads", channels)
    attention.finish()
    width = _feed_forward(layer, channels)
    _check_layer(layer, DECODER_ORDER)
    return DecoderSettings(num_layers, num_heads, width)


def _feed_forward(layer: Fields, channels: int) -> int:
    """Hidden channels of a layer's feed-forward network; the layer's own key wins (mmcv 1.x)."""
    layer.fixed(ffn_dropout=0, ffn_num_fcs=2)
    fields = layer.child("ffn_cfgs", {})
    fields.kind("FFN", default="FFN")
    fields.skip("with_cp", "init_cfg")
    fields.fixed(embed_dims=channels, num_fcs=2, ffn_drop=0, dropout=0)
    fields.fixed(add_identity=True, add_residual=True)
    _check_activation(fields)
    _check_branch_dropout(fields)
    width = fields.integer("feedforward_channels", 1024)
    fields.finish()
    return layer.integer("feedforward_channels", width)


def _check_layer(layer: Fields, order: tuple[str, ...]) -> None:
    """Takes what is left of a transformer layer's entries."""
    layer.skip("init_cfg")
    layer.fixed(batch_first=False)
    layer.only("operation_order", order, default=REQUIRED)
    _check_layer_norm(layer, "norm_cfg")
    layer.finish()


def _check_activation(parent: Fields) -> None:
    fields = parent.child("act_cfg", {"type": "ReLU"})
    fields.kind("ReLU")
    fields.skip("inplace")
    fields.finish()


def _check_layer_norm(parent: Fields, key: str) -> None:
    fields = parent.child(key, {"type": "LN"})
    fields.kind("LN")
    fields.fixed(**NORM)
    fields.finish()


def _check_branch_dropout(parent: Fields) -> None:
    """Takes `dropout_layer`: None, or one that drops nothing."""
    value = parent.take("dropout_layer", None)
    if value is not None:
        fields = Fields(value, f"{parent.path}.dropout_layer")
        fields.kind("Dropout", "DropPath")
        fields.only("drop_prob", 0, default=REQUIRED)
        fields.finish()


def _check_positions(parent: Fields, channels: int) -> None:
    """Takes the positional encoding of maps of `channels` channels."""
    fields = parent.child("positional_encoding")
    fields.kind("SinePositionalEncoding")
    fields.skip("init_cfg")
    fields.only("normalize", True, default=REQUIRED)
    fields.fixed(temperature=10000, scale=2 * math.pi, eps=1e-6, offset=0)
    num_feats = fields.integer("num_feats")
    if num_feats * 2 != channels or num_feats % 2:
        expected = f"half of the {channels} channels, an even number"
        raise fields.refuse("num_feats", num_feats, expected)
    fields.finish()
