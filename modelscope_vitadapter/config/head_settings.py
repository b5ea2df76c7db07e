"""Reads `model.decode_head` (`Mask2FormerHeadFromMMSeg`) into its settings."""

from modelscope_vitadapter.config.fields import REQUIRED, Fields
from modelscope_vitadapter.config.network_parts import (
    optional_activation,
    parse_attention,
    parse_deformable_attention,
    parse_encoding,
    parse_feed_forward,
    parse_map_norm,
    parse_operation_order,
    parse_token_norm,
)
from modelscope_vitadapter.config.settings import (
    Activation,
    DecoderSettings,
    EncoderSettings,
    HeadSettings,
    PixelDecoderSettings,
)

STRIDES = [4, 8, 16, 32]
"""Strides of the backbone's four maps."""


def parse_head(fields: Fields, embed_dim: int) -> HeadSettings:
    """Reads every setting of ModelScope's `Mask2FormerHeadFromMMSeg`; defaults are its own.

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
    _only_list(fields, "in_channels", [embed_dim] * len(STRIDES), REQUIRED)
    _only_list(fields, "in_index", list(range(len(STRIDES))), list(range(len(STRIDES))))
    feat_channels = fields.integer("feat_channels", high=65536)
    settings = HeadSettings(
        feat_channels=feat_channels,
        out_channels=fields.integer("out_channels", high=65536),
        num_classes=_num_classes(fields),
        num_queries=fields.integer("num_queries", 100, high=65536),
        num_transformer_feat_level=fields.integer("num_transformer_feat_level", 3, high=4),
        pixel_decoder=_pixel_decoder(fields.child("pixel_decoder"), feat_channels),
        transformer_decoder=_decoder(fields.child("transformer_decoder"), feat_channels),
        positional_encoding=parse_encoding(fields.child("positional_encoding"), feat_channels),
        enforce_decoder_input_project=fields.boolean("enforce_decoder_input_project", False),
        align_corners=fields.boolean("align_corners", False),
    )
    fields.finish()
    encoder = settings.pixel_decoder.encoder
    if encoder.attention.num_levels != settings.num_transformer_feat_level:
        raise fields.refuse(
            "num_transformer_feat_level",
            settings.num_transformer_feat_level,
            f"{encoder.attention.num_levels}, the pixel decoder's num_levels",
        )
    return settings


def _only_list(fields: Fields, key: str, expected: list[int], default: object) -> None:
    """Takes a list or tuple that must be the backbone's."""
    value = fields.take(key, default)
    if not isinstance(value, (list, tuple)) or list(value) != expected:
        raise fields.refuse(key, value, f"{expected}, the backbone's")


def _num_classes(fields: Fields) -> int:
    things = fields.integer("num_things_classes", 80, low=0, high=65536)
    stuff = fields.integer("num_stuff_classes", 53, low=0, high=65536)
    if things + stuff < 1:
        raise fields.refuse("num_stuff_classes", stuff, "at least one class in all")
    fields.only("num_classes", things + stuff, default=things + stuff)
    return things + stuff


def _pixel_decoder(fields: Fields, channels: int) -> PixelDecoderSettings:
    fields.kind("MSDeformAttnPixelDecoder")
    fields.skip("init_cfg", "in_channels", "feat_channels", "out_channels")  # the head's are used
    _only_list(fields, "strides", STRIDES, STRIDES)
    settings = PixelDecoderSettings(
        encoder=_encoder(fields.child("encoder"), channels),
        positional_encoding=parse_encoding(fields.child("positional_encoding"), channels),
        norm=parse_map_norm(fields, "norm_cfg"),
        activation=optional_activation(fields, "act_cfg", Activation()),
    )
    levels = settings.encoder.attention.num_levels
    outputs = fields.integer("num_outs", 3)
    if outputs < levels:
        raise fields.refuse("num_outs", outputs, f"at least {levels}, the encoder's num_levels")
    if settings.norm is not None and channels % settings.norm.num_groups:
        raise fields.refuse(
            "norm_cfg.num_groups", settings.norm.num_groups, f"a divisor of {channels}"
        )
    fields.finish()
    return settings


def _encoder(fields: Fields, channels: int) -> EncoderSettings:
    fields.kind("DetrTransformerEncoder")
    fields.skip("init_cfg")
    layer = fields.child("transformerlayers")
    layer.kind("BaseTransformerLayer")
    layer.skip("init_cfg")
    layer.only("batch_first", False, default=False)
    order = parse_operation_order(layer, ("self_attn",))
    settings = EncoderSettings(
        num_layers=fields.integer("num_layers", high=1024),
        operation_order=order,
        attention=parse_deformable_attention(layer.child("attn_cfgs"), channels),
        ffn=parse_feed_forward(layer, channels, {}),
        norm=parse_token_norm(layer, "norm_cfg"),
        post_norm=parse_token_norm(fields, "post_norm_cfg") if order[0] == "norm" else None,
    )
    fields.skip("post_norm_cfg")
    layer.finish()
    fields.finish()
    return settings


def _decoder(fields: Fields, channels: int) -> DecoderSettings:
    fields.kind("DetrTransformerDecoder")
    fields.skip("init_cfg", "return_intermediate")
    layer = fields.child("transformerlayers")
    kind = layer.kind("DetrTransformerDecoderLayer", "BaseTransformerLayer")
    layer.skip("init_cfg")
    layer.only("batch_first", False, default=False)
    defaults: dict[str, object] = {}
    if kind == "DetrTransformerDecoderLayer":  # its own keys win over ffn_cfgs; act_cfg has no use
        layer.skip("act_cfg")
        defaults = {"ffn_dropout": 0.0, "ffn_num_fcs": 2}
        if not layer.has("feedforward_channels"):
            layer.take("feedforward_channels")
    settings = DecoderSettings(
        num_layers=fields.integer("num_layers", high=1024),
        operation_order=parse_operation_order(layer, ("cross_attn", "self_attn")),
        attention=parse_attention(layer.child("attn_cfgs"), channels),
        ffn=parse_feed_forward(layer, channels, defaults),
        norm=parse_token_norm(layer, "norm_cfg"),
        post_norm=parse_token_norm(fields, "post_norm_cfg"),
    )
    layer.finish()
    fields.finish()
    return settings
