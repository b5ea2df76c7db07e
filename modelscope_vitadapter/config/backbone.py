"""Reads `model.backbone` (`BEiTAdapter`) into its settings."""

from collections.abc import Sequence

from modelscope_vitadapter.config.fields import REQUIRED, Fields
from modelscope_vitadapter.config.settings import PATCH_SIZE, BackboneSettings

MAX_LAYERS = 128
"""Layers of one stack, where published models have up to 24: building more takes seconds."""

ADDED_STAGES = 4
"""Stages whose ViT maps `add_vit_feature` adds, one to each map of the pyramid."""


def parse_backbone(fields: Fields) -> BackboneSettings:
    """Reads the settings of `BEiTAdapter`; defaults are the built-in model's.

    Raises:
        ConfigError: for a setting that can't be honoured, by name.
    """
    fields.kind("BEiTAdapter")
    fields.skip("pretrained", "init_cfg", "num_classes", "use_checkpoint", "pretrain_size")
    fields.only("qkv_bias", True, default=REQUIRED)
    fields.fixed(patch_size=PATCH_SIZE, in_chans=3, hybrid_backbone=None, norm_layer=None)
    fields.fixed(use_abs_pos_emb=False, use_rel_pos_bias=True, use_shared_rel_pos_bias=False)
    fields.fixed(qk_scale=None, drop_rate=0, attn_drop_rate=0)
    embed_dim = fields.integer("embed_dim", 768)
    depth = fields.integer("depth", 12, high=MAX_LAYERS)
    settings = BackboneSettings(
        img_size=_image_size(fields),
        embed_dim=embed_dim,
        depth=depth,
        num_heads=fields.divisor("num_heads", embed_dim, 12),
        mlp_ratio=_ratio(fields, "mlp_ratio", embed_dim, 4.0),
        init_values=fields.number("init_values", 0.0, low=-1e12),
        drop_path_rate=fields.probability("drop_path_rate", 0.0),
        conv_inplane=fields.integer("conv_inplane", 64, high=4096),
        n_points=fields.integer("n_points", 4, high=64),
        deform_num_heads=fields.divisor("deform_num_heads", embed_dim, 6),
        deform_ratio=_ratio(fields, "deform_ratio", embed_dim, 1.0),
        with_cffn=fields.boolean("with_cffn", True),
        cffn_ratio=_ratio(fields, "cffn_ratio", embed_dim, 0.25),
        interaction_indexes=_interaction_indexes(fields, depth),
        use_extra_extractor=fields.boolean("use_extra_extractor", True),
        add_vit_feature=fields.boolean("add_vit_feature", True),
        with_cp=fields.boolean("with_cp", False),
    )
    fields.finish()
    values, heads = int(embed_dim * settings.deform_ratio), settings.deform_num_heads
    if values % heads:
        raise fields.refuse(
            "deform_ratio",
            settings.deform_ratio,
            f"a ratio for which embed_dim * deform_ratio ({values}) is a multiple of "
            f"deform_num_heads ({heads})",
        )
    if settings.add_vit_feature and len(settings.interaction_indexes) != ADDED_STAGES:
        raise fields.refuse(
            "add_vit_feature", True, f"False unless there are {ADDED_STAGES} interaction_indexes"
        )
    return settings


def _image_size(fields: Fields) -> tuple[int, int]:
    size = fields.size("img_size", 512)
    if min(size) < PATCH_SIZE:
        raise fields.refuse("img_size", size, f"at least {PATCH_SIZE} pixels a side")
    return size


def _ratio(fields: Fields, key: str, embed_dim: int, default: float) -> float:
    ratio = fields.number(key, default, high=64)
    if int(embed_dim * ratio) < 1:
        raise fields.refuse(key, ratio, f"a ratio that leaves a channel of embed_dim {embed_dim}")
    return ratio


def _interaction_indexes(fields: Fields, depth: int) -> tuple[tuple[int, int], ...]:
    """The first and last block of each stage; no block is in two stages."""
    value = fields.take("interaction_indexes")
    stages = tuple(_stage(stage) for stage in value) if _is_list(value) else ()
    starts = [0, *(stage[1] + 1 for stage in stages)]
    in_order = all(
        start <= first <= last < depth for start, (first, last) in zip(starts, stages, strict=False)
    )
    if not stages or not in_order:
        raise fields.refuse(
            "interaction_indexes",
            value,
            f"a list of [first, last] pairs of block numbers from 0 to {depth - 1}, each stage "
            "behind the one before it",
        )
    return stages


def _stage(value: object) -> tuple[int, int]:
    """A stage's pair; one that is never in order where `value` is none."""
    if isinstance(value, Sequence) and len(value) == 2 and all(type(i) is int for i in value):
        return value[0], value[1]
    return -1, -1


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
