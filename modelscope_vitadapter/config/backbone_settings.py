"""Reads `model.backbone` (`BEiTAdapter`) into its settings."""

from collections.abc import Sequence

from modelscope_vitadapter.config.fields import Fields
from modelscope_vitadapter.config.settings import BackboneSettings
from modelscope_vitadapter.logs import get_logger

logger = get_logger()

PATCH_SIZE = 16
"""The adapter's pyramid has fixed strides 8, 16 and 32, so its patches are 16 x 16 pixels."""


MAX_BLOCK_RUNS = 1024
"""Blocks that all stages run together; stages may share blocks, so there can be more than depth."""


def parse_backbone(fields: Fields) -> BackboneSettings:
    """Reads every setting of ModelScope's `BEiTAdapter`; defaults are its own.

    Raises:
        ConfigError: for a setting that can't be honoured, by name.
    """
    fields.kind("BEiTAdapter")
    fields.skip("pretrained", "init_cfg", "num_classes", "use_checkpoint")
    fields.only("patch_size", PATCH_SIZE, default=PATCH_SIZE)
    fields.only("in_chans", 3, default=3)
    fields.only("hybrid_backbone", None, default=None)
    fields.only("norm_layer", None, default=None)
    embed_dim = fields.integer("embed_dim", 768, high=65536)
    depth = fields.integer("depth", 12, high=1024)
    settings = BackboneSettings(
        img_size=fields.size("img_size", 512),
        patch_size=PATCH_SIZE,
        embed_dim=embed_dim,
        depth=depth,
        num_heads=fields.integer("num_heads", 12, high=embed_dim),
        mlp_ratio=_hidden_ratio(fields, "mlp_ratio", 4.0, embed_dim),
        qkv_bias=fields.boolean("qkv_bias", False),
        qk_scale=_qk_scale(fields),
        drop_rate=fields.probability("drop_rate", 0.0),
        attn_drop_rate=fields.probability("attn_drop_rate", 0.0),
        drop_path_rate=fields.probability("drop_path_rate", 0.0),
        init_values=fields.number("init_values", 0.0, low=-1e12),
        use_abs_pos_emb=fields.boolean("use_abs_pos_emb", False),
        use_rel_pos_bias=fields.boolean("use_rel_pos_bias", True),
        use_shared_rel_pos_bias=fields.boolean("use_shared_rel_pos_bias", False),
        pretrain_size=fields.integer("pretrain_size", 224, high=65536),
        conv_inplane=fields.integer("conv_inplane", 64, high=16384),
        n_points=fields.integer("n_points", 4, high=1024),
        deform_num_heads=_deform_heads(fields, embed_dim),
        deform_ratio=fields.number("deform_ratio", 1.0, high=64),
        with_cffn=fields.boolean("with_cffn", True),
        cffn_ratio=_hidden_ratio(fields, "cffn_ratio", 0.25, embed_dim),
        interaction_indexes=_interaction_indexes(fields, depth),
        add_vit_feature=fields.boolean("add_vit_feature", True),
        with_cp=fields.boolean("with_cp", False),
    )
    fields.finish()
    _check(fields, settings)
    return settings


def _qk_scale(fields: Fields) -> float | None:
    """None means `head_dim ** -0.5`; so does 0, as in the built-in model."""
    if fields.has("qk_scale"):
        value = fields.take("qk_scale")
        if value is None:
            return None
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not -1e12 <= value <= 1e12
        ):
            raise fields.refuse("qk_scale", value, "a number from -1e+12 to 1e+12, or None")
        return float(value) or None
    return None


def _hidden_ratio(fields: Fields, key: str, default: float, embed_dim: int) -> float:
    ratio = fields.number(key, default, high=64)
    if int(embed_dim * ratio) < 1:
        raise fields.refuse(key, ratio, f"a ratio that leaves a channel of embed_dim {embed_dim}")
    return ratio


def _deform_heads(fields: Fields, embed_dim: int) -> int:
    heads = fields.integer("deform_num_heads", 6, high=embed_dim)
    if embed_dim % heads:
        raise fields.refuse("deform_num_heads", heads, f"a divisor of embed_dim {embed_dim}")
    return heads


def _interaction_indexes(fields: Fields, depth: int) -> tuple[tuple[int, ...], ...]:
    """The first and last ViT block of each stage, both included."""
    value = fields.take("interaction_indexes")
    expected = f"a list of [first, last] pairs of block numbers from 0 to {depth - 1}"
    if not _is_list(value) or not 1 <= len(value) <= depth + 1:
        raise fields.refuse("interaction_indexes", value, expected)
    stages = []
    for stage in value:
        if not _is_list(stage) or not 1 <= len(stage) <= depth:
            raise fields.refuse("interaction_indexes", value, expected)
        if not all(isinstance(i, int) and 0 <= i < depth for i in stage):
            raise fields.refuse("interaction_indexes", value, expected)
        stages.append(tuple(stage))
    runs = sum(max(0, stage[-1] - stage[0] + 1) for stage in stages)
    if runs > max(MAX_BLOCK_RUNS, depth):
        raise fields.refuse(
            "interaction_indexes", value, f"stages of at most {MAX_BLOCK_RUNS} blocks in all"
        )
    return tuple(stages)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _check(fields: Fields, settings: BackboneSettings) -> None:
    """Refuses combinations that no adapter can be built from."""
    if min(settings.grid) < 1:
        raise fields.refuse("img_size", settings.img_size, f"at least {PATCH_SIZE} pixels a side")
    values = int(settings.embed_dim * settings.deform_ratio)
    if values < 1 or values % settings.deform_num_heads:
        raise fields.refuse(
            "deform_ratio",
            settings.deform_ratio,
            f"a ratio for which embed_dim * deform_ratio ({values}) is a multiple of "
            f"deform_num_heads ({settings.deform_num_heads})",
        )
    if settings.add_vit_feature and len(settings.interaction_indexes) != 4:
        raise fields.refuse(
            "add_vit_feature", True, "False unless there are four interaction_indexes"
        )
    if settings.use_abs_pos_emb:
        _check_absolute_positions(fields, settings)
    if settings.use_shared_rel_pos_bias:
        logger.warning(
            "%s.use_shared_rel_pos_bias = True: the table is loaded and saved, and has no effect "
            "on the answer, as in ModelScope's built-in model, whose blocks never read it.",
            fields.path,
        )


def _check_absolute_positions(fields: Fields, settings: BackboneSettings) -> None:
    """The embeddings, one per patch of `img_size` and one more, are laid out on `pretrain_size`.

    The built-in model lays out all of them, which fits only where they are a square number. Where
    the patches alone fill the layout, the one more is the class token's, as in BEiT.
    """
    rows, columns = settings.grid
    layout = settings.position_grid
    if settings.grid != layout and rows * columns + 1 != layout[0] * layout[1]:
        raise fields.refuse(
            "pretrain_size",
            settings.pretrain_size,
            f"the backbone's img_size {settings.img_size} where use_abs_pos_emb is True",
        )
