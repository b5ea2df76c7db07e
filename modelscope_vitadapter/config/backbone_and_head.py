"""Reads `model.backbone` (BEiT adapter) and `model.decode_head` (Mask2Former) into their settings.

What published configurations agree in is checked to be what the network computes. Defaults are the
built-in model's.
"""

import math

from modelscope_vitadapter.config.fields import Fields
from modelscope_vitadapter.config.settings import (
    PATCH_SIZE,
    BackboneSettings,
    DecoderSettings,
    EncoderSettings,
    HeadSettings,
)

MAX_LAYERS = 128  # of one stack, where published models have up to 24: more take seconds to build
ADDED_STAGES = 4  # whose ViT maps `add_vit_feature` adds, one to each map of the pyramid
STRIDES = [4, 8, 16, 32]  # of the backbone's maps
LEVELS = 3  # maps that the encoder works on and that queries look at, the coarsest ones
ENCODER_ORDER = ("self_attn", "norm", "ffn", "norm")
DECODER_ORDER = ("cross_attn", "norm", "self_attn", "norm", "ffn", "norm")
NORM = {"eps": 1e-5, "requires_grad": True}  # of every norm of the head


def parse_backbone(fields: Fields) -> BackboneSettings:
    """Reads `model.backbone`; `ConfigError` for a setting that can't be honoured, by name."""
    fields.kind("BEiTAdapter")
    fields.skip("pretrained", "init_cfg", "num_classes", "use_checkpoint", "pretrain_size")
    fields.required(qkv_bias=True)
    fields.fixed(patch_size=PATCH_SIZE, in_chans=3, hybrid_backbone=None, norm_layer=None)
    fields.fixed(use_abs_pos_emb=False, use_rel_pos_bias=True, use_shared_rel_pos_bias=False)
    fields.fixed(qk_scale=None, drop_rate=0, attn_drop_rate=0)
    embed_dim = fields.integer("embed_dim", 768)
    depth = fields.integer("depth", 12, high=MAX_LAYERS)
    one_channel = 1 / embed_dim
    settings = BackboneSettings(
        img_size=fields.size("img_size", 512, low=PATCH_SIZE),
        embed_dim=embed_dim,
        depth=depth,
        num_heads=fields.divisor("num_heads", embed_dim, 12),
        mlp_ratio=fields.number("mlp_ratio", 4.0, low=one_channel, high=64),
        init_values=fields.number("init_values", 0.0, low=-1e12),
        drop_path_rate=fields.number("drop_path_rate", 0.0, high=1),
        conv_inplane=fields.integer("conv_inplane", 64, high=4096),
        n_points=fields.integer("n_points", 4, high=64),
        deform_num_heads=fields.divisor("deform_num_heads", embed_dim, 6),
        deform_ratio=fields.number("deform_ratio", 1.0, low=one_channel, high=64),
        with_cffn=fields.boolean("with_cffn", True),
        cffn_ratio=fields.number("cffn_ratio", 0.25, low=one_channel, high=64),
        interaction_indexes=_interaction_indexes(fields, depth),
        use_extra_extractor=fields.boolean("use_extra_extractor", True),
        add_vit_feature=fields.boolean("add_vit_feature", True),
        with_cp=fields.boolean("with_cp", False),
    )
    fields.finish()
    values, heads = int(embed_dim * settings.deform_ratio), settings.deform_num_heads
    if values % heads:
        expected = f"a ratio for which embed_dim * it ({values}) is a multiple of {heads} heads"
        raise fields.refuse("deform_ratio", settings.deform_ratio, expected)
    if settings.add_vit_feature and len(settings.interaction_indexes) != ADDED_STAGES:
        expected = f"False unless there are {ADDED_STAGES} interaction_indexes"
        raise fields.refuse("add_vit_feature", True, expected)
    return settings


def _interaction_indexes(fields: Fields, depth: int) -> tuple[tuple[int, int], ...]:
    """The first and last block of each stage, each stage behind the one before it."""
    key, stages, begin = "interaction_indexes", list[tuple[int, int]](), 0
    value = fields.take(key)
    for stage in value if isinstance(value, list | tuple) else ():
        first, last = fields.pair(key, stage, low=begin, high=depth - 1)
        stages.append((first, last))
        begin = last + 1
    if not stages or any(first > last for first, last in stages):
        raise fields.refuse(key, value, "a list of [first, last] pairs of block numbers, in order")
    return tuple(stages)


def parse_head(fields: Fields, embed_dim: int) -> HeadSettings:
    """Reads `model.decode_head`, over maps of `embed_dim` channels; errors as above."""
    fields.kind("Mask2FormerHeadFromMMSeg", "Mask2FormerHead")  # the latter: the authors' name
    fields.skip("train_cfg", "test_cfg", "init_cfg", "sampler", "ignore_index", "dropout_ratio")
    fields.skip("conv_cfg", "norm_cfg", "act_cfg")  # of convolutions that this head doesn't have
    fields.skip("loss_cls", "loss_mask", "loss_dice")
    fields.required(in_channels=[embed_dim] * len(STRIDES))
    fields.fixed(in_index=list(range(len(STRIDES))), num_transformer_feat_level=LEVELS)
    fields.fixed(enforce_decoder_input_project=False, align_corners=False)
    channels = fields.integer("feat_channels")
    if channels % 4:
        raise fields.refuse("feat_channels", channels, "a multiple of 4")
    _check_positions(fields, channels)
    num_groups, encoder = _pixel_decoder(fields.child("pixel_decoder"), channels)
    settings = HeadSettings(
        feat_channels=channels,
        out_channels=fields.integer("out_channels"),
        num_classes=_num_classes(fields),
        num_queries=fields.integer("num_queries", 100, high=4096),
        num_groups=num_groups,
        encoder=encoder,
        decoder=_decoder(fields.child("transformer_decoder"), channels),
    )
    fields.finish()
    return settings


def _num_classes(fields: Fields) -> int:
    things = fields.integer("num_things_classes", 80, low=0)
    stuff = fields.integer("num_stuff_classes", 53, low=0)
    if things + stuff < 1:
        raise fields.refuse("num_stuff_classes", stuff, "at least one class in all")
    fields.fixed(num_classes=things + stuff)
    return things + stuff


def _pixel_decoder(fields: Fields, channels: int) -> tuple[int, EncoderSettings]:
    """Groups of the norm behind each of its convolutions, and its encoder."""
    fields.kind("MSDeformAttnPixelDecoder")
    fields.skip("init_cfg", "in_channels", "feat_channels", "out_channels")  # the head's are used
    fields.fixed(strides=STRIDES, num_outs=LEVELS)
    norm = fields.child("norm_cfg", {"num_groups": 32})
    norm.fixed(type="GN", **NORM)
    num_groups = norm.divisor("num_groups", channels)
    norm.finish()
    _check_fixed(fields, "act_cfg", "inplace", type="ReLU")
    _check_positions(fields, channels)
    encoder = _encoder(fields.child("encoder"), channels)
    fields.finish()
    return num_groups, encoder


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
    attention.required(embed_dims=channels, num_levels=LEVELS)
    attention.fixed(dropout=0, batch_first=False)
    num_heads = attention.divisor("num_heads", channels, 8)
    num_points = attention.integer("num_points", 4, high=64)
    attention.finish()
    width = _finish_layer(layer, ENCODER_ORDER, channels)
    return EncoderSettings(num_layers, num_heads, num_points, width)


def _decoder(fields: Fields, channels: int) -> DecoderSettings:
    fields.kind("DetrTransformerDecoder")
    fields.skip("init_cfg", "return_intermediate")
    _check_fixed(fields, "post_norm_cfg", type="LN", **NORM)
    num_layers = fields.integer("num_layers", high=MAX_LAYERS)
    layer = fields.child("transformerlayers")
    fields.finish()
    layer.kind("DetrTransformerDecoderLayer", "BaseTransformerLayer")
    layer.skip("act_cfg")  # which neither class reads
    attention = layer.child("attn_cfgs")
    attention.kind("MultiheadAttention")
    attention.skip("init_cfg")
    attention.fixed(embed_dims=channels, batch_first=False, attn_drop=0, proj_drop=0, dropout=0)
    _check_branch_dropout(attention)
    num_heads = attention.divisor("num_heads", channels)
    attention.finish()
    return DecoderSettings(num_layers, num_heads, _finish_layer(layer, DECODER_ORDER, channels))


def _finish_layer(layer: Fields, order: tuple[str, ...], channels: int) -> int:
    """Checks what is left of a layer; gives the hidden channels of its feed-forward network."""
    layer.skip("init_cfg")
    layer.required(operation_order=order)
    layer.fixed(batch_first=False, ffn_dropout=0, ffn_num_fcs=2)
    _check_fixed(layer, "norm_cfg", type="LN", **NORM)
    fields = layer.child("ffn_cfgs", {})
    fields.skip("with_cp", "init_cfg")
    fields.fixed(type="FFN", embed_dims=channels, num_fcs=2, ffn_drop=0, dropout=0)
    fields.fixed(add_identity=True, add_residual=True)
    _check_fixed(fields, "act_cfg", "inplace", type="ReLU")
    _check_branch_dropout(fields)
    width = fields.integer("feedforward_channels", 1024)
    width = layer.integer("feedforward_channels", width)  # the layer's own wins (mmcv 1.x)
    fields.finish()
    layer.finish()
    return width


def _check_fixed(parent: Fields, key: str, *skipped: str, **fixed: object) -> None:
    fields = parent.child(key, {})
    fields.skip(*skipped)
    fields.fixed(**fixed)
    fields.finish()


def _check_branch_dropout(parent: Fields) -> None:
    """Takes `dropout_layer`: None, or one that drops nothing."""
    value = parent.take("dropout_layer", None)
    if value is not None:
        fields = Fields(value, f"{parent.path}.dropout_layer")
        fields.kind("Dropout", "DropPath")
        fields.required(drop_prob=0)
        fields.finish()


def _check_positions(parent: Fields, channels: int) -> None:
    """Takes the positional encoding of maps of `channels` channels."""
    fields = parent.child("positional_encoding")
    fields.kind("SinePositionalEncoding")
    fields.skip("init_cfg")
    fields.required(normalize=True, num_feats=channels // 2)
    fields.fixed(temperature=10000, scale=2 * math.pi, eps=1e-6, offset=0)
    fields.finish()
