"""Refuses networks whose settings are each allowed and absurd together, before any is built."""

from __future__ import annotations

import itertools
import math

from modelscope_vitadapter.config.settings import (
    Activation,
    BackboneSettings,
    FeedForwardSettings,
    HeadSettings,
    LearnedEncoding,
    MapNorm,
    ModelSettings,
    Size,
)
from modelscope_vitadapter.errors import ConfigError

MAX_PARAMETERS = 20_000_000_000
"""Numbers in all parameters and buffers of a checkpoint; the hub's model has 0.57 billion."""

MAX_TENSORS = 8_192
"""Parameters and buffers; the hub's model has 1,100."""

MAX_WINDOW_VALUES = 2**32
"""Values of the largest map of a window, of which a pass holds several; the hub's has 2 ** 26."""

Count = tuple[int, int]
"""Numbers in all tensors, and how many tensors there are."""


def check_sizes(settings: ModelSettings) -> None:
    """Checks that a network can be built and run on some machine.

    Raises:
        ConfigError: it has more than `MAX_PARAMETERS` parameters or `MAX_TENSORS` tensors, or a
            window needs more than `MAX_WINDOW_VALUES`; names the settings that matter most.
    """
    parts = count_parts(settings)
    numbers, tensors = _sum(*parts.values())
    if numbers > MAX_PARAMETERS or tensors > MAX_TENSORS:
        which = 0 if numbers > MAX_PARAMETERS else 1
        largest = max(parts, key=lambda name: parts[name][which])
        raise ConfigError(
            f"The network of mmcv_config.py would have {numbers:.3g} parameters in {tensors} "
            f"tensors, expected at most {MAX_PARAMETERS:.3g} in {MAX_TENSORS}. Most of them come "
            f"from {largest}. Reduce these, or use the mmcv_config.py of the checkpoint."
        )
    size = settings.windows.crop_size or settings.backbone.img_size
    values = {name: share * size[0] * size[1] for name, share in values_per_pixel(settings).items()}
    largest = max(values, key=lambda name: values[name])
    if values[largest] > MAX_WINDOW_VALUES:
        name = "crop_size" if settings.windows.crop_size else "img_size"
        raise ConfigError(
            f"A window of {name} = {size} would make a map of {values[largest]:.3g} values with "
            f"{largest}, expected at most {MAX_WINDOW_VALUES:.3g}. Reduce one of these in "
            "mmcv_config.py."
        )


def values_per_pixel(settings: ModelSettings) -> dict[str, float]:
    """How many values the largest maps hold for each pixel of a window, by the settings."""
    backbone, head = settings.backbone, settings.head
    encoder = head.pixel_decoder.encoder
    coarse = 1 / 64 + 1 / 256 + 1 / 1024  # tokens of the strides 8, 16 and 32 for each pixel
    samples = 6 * backbone.deform_num_heads * backbone.n_points
    decoder_samples = encoder.attention.num_heads * encoder.attention.num_points
    return {
        f"embed_dim = {backbone.embed_dim}": backbone.embed_dim / 16,
        f"embed_dim * mlp_ratio = {backbone.embed_dim * backbone.mlp_ratio:g}": (
            backbone.embed_dim * backbone.mlp_ratio / 256
        ),
        f"embed_dim * cffn_ratio = {backbone.embed_dim * backbone.cffn_ratio:g}": (
            backbone.embed_dim * backbone.cffn_ratio * coarse
        ),
        f"conv_inplane = {backbone.conv_inplane}": backbone.conv_inplane / 4,
        f"deform_num_heads = {backbone.deform_num_heads} and n_points = {backbone.n_points}": (
            samples * coarse
        ),
        f"feat_channels = {head.feat_channels}": head.feat_channels / 16,
        f"out_channels = {head.out_channels}": head.out_channels / 16,
        f"num_queries = {head.num_queries}": head.num_queries / 16,
        f"the encoder's feedforward_channels = {encoder.ffn.feedforward_channels}": (
            encoder.ffn.feedforward_channels * coarse
        ),
        f"the encoder's num_heads = {encoder.attention.num_heads} and num_points = "
        f"{encoder.attention.num_points}": 2
        * encoder.attention.num_levels
        * decoder_samples
        * coarse,
    }


def count_parts(settings: ModelSettings) -> dict[str, Count]:
    """What each part of the network has in parameters and persistent buffers, by its settings."""
    b, h = settings.backbone, settings.head
    encoder, decoder = h.pixel_decoder.encoder, h.transformer_decoder
    channels = h.feat_channels
    return {
        f"backbone: depth = {b.depth}, embed_dim = {b.embed_dim}, mlp_ratio = {b.mlp_ratio:g}": (
            _times(b.depth, _block(b))
        ),
        f"backbone: img_size = {b.img_size}, num_heads = {b.num_heads}, depth = {b.depth}": (
            _position_tables(b)
        ),
        f"backbone: conv_inplane = {b.conv_inplane}, embed_dim = {b.embed_dim}": _stem(b),
        f"backbone: {len(b.interaction_indexes)} interaction_indexes, embed_dim = {b.embed_dim}, "
        f"deform_num_heads = {b.deform_num_heads}, n_points = {b.n_points}, deform_ratio = "
        f"{b.deform_ratio:g}, cffn_ratio = {b.cffn_ratio:g}": _interactions(b),
        f"pixel decoder: feat_channels = {channels}, num_layers = {encoder.num_layers}, "
        f"feedforward_channels = {encoder.ffn.feedforward_channels}, num_fcs = "
        f"{encoder.ffn.num_fcs}, num_points = {encoder.attention.num_points}": (
            _pixel_decoder(h, b.embed_dim)
        ),
        f"transformer decoder: feat_channels = {channels}, num_layers = {decoder.num_layers}, "
        f"feedforward_channels = {decoder.ffn.feedforward_channels}, num_fcs = "
        f"{decoder.ffn.num_fcs}": _decoder(h),
        f"decode_head: num_queries = {h.num_queries}, feat_channels = {channels}, out_channels = "
        f"{h.out_channels}, {h.num_classes} classes, positional_encoding": _queries(h),
    }


def _sum(*counts: Count) -> Count:
    return sum(count[0] for count in counts), sum(count[1] for count in counts)


def _times(number: int, count: Count) -> Count:
    return number * count[0], number * count[1]


def _linear(inputs: int, outputs: int, *, bias: bool = True, kernel: int = 1) -> Count:
    """A linear layer or convolution."""
    return inputs * outputs * kernel + bias * outputs, 1 + bias


def _norm(channels: int, *, affine: bool = True, statistics: bool = False) -> Count:
    weights = 2 * affine * channels, 2 * affine
    return _sum(weights, (2 * channels + 1, 3)) if statistics else weights


def _table(grid: Size) -> int:
    return (2 * grid[0] - 1) * (2 * grid[1] - 1) + 3


def _block(b: BackboneSettings) -> Count:
    width = b.embed_dim // b.num_heads * b.num_heads
    hidden = int(b.embed_dim * b.mlp_ratio)
    return _sum(
        _times(2, _norm(b.embed_dim)),
        _linear(b.embed_dim, 3 * width, bias=False),
        (2 * b.qkv_bias * width, 2 * b.qkv_bias),
        _linear(width, b.embed_dim),
        _linear(b.embed_dim, hidden),
        _linear(hidden, b.embed_dim),
        (2 * b.embed_dim, 2),  # layer scale
    )


def _position_tables(b: BackboneSettings) -> Count:
    tables = b.depth * b.use_rel_pos_bias + b.use_shared_rel_pos_bias
    embedded = b.use_abs_pos_emb * b.embed_dim * (1 + math.prod(b.grid))
    return _sum(_times(tables, (_table(b.grid) * b.num_heads, 1)), (embedded, b.use_abs_pos_emb))


def _stem(b: BackboneSettings) -> Count:
    planes, dim = b.conv_inplane, b.embed_dim
    widths = [3, planes, planes, planes, 2 * planes, 4 * planes, 4 * planes]
    convolutions = [
        _sum(_linear(before, after, bias=False, kernel=9), _norm(after, statistics=True))
        for before, after in itertools.pairwise(widths)
    ]
    projections = [_linear(width, dim) for width in (planes, 2 * planes, 4 * planes, 4 * planes)]
    return _sum(
        *convolutions,
        *projections,
        _linear(3, dim, kernel=b.patch_size**2),
        (dim, 1),  # class token
        (3 * dim, 1),  # level embedding
        _linear(dim, dim, kernel=4),
        _times(4, _norm(dim, statistics=True)),
    )


def _deformable(dim: int, samples: int, values: int) -> Count:
    return _sum(
        _linear(dim, 2 * samples),
        _linear(dim, samples),
        _linear(dim, values),
        _linear(values, dim),
    )


def _interactions(b: BackboneSettings) -> Count:
    dim, values = b.embed_dim, int(b.embed_dim * b.deform_ratio)
    samples = b.deform_num_heads * b.n_points
    hidden = int(dim * b.cffn_ratio)
    feed_forward = _sum(
        _linear(dim, hidden), _linear(1, hidden, kernel=9), _linear(hidden, dim), _norm(dim)
    )
    injector = _sum(_times(2, _norm(dim)), _deformable(dim, 3 * samples, values), (dim, 1))
    extractor = _sum(
        _times(2, _norm(dim)),
        _deformable(dim, samples, values),
        feed_forward if b.with_cffn else (0, 0),
    )
    stages = len(b.interaction_indexes)
    return _sum(_times(stages, injector), _times(stages + 2, extractor))


def _feed_forward(channels: int, s: FeedForwardSettings) -> Count:
    hidden = s.feedforward_channels
    return _sum(
        _linear(channels, hidden),
        _times(s.num_fcs - 2, _linear(hidden, hidden)),
        _linear(hidden, channels),
        _slopes(s.activation),
    )


def _slopes(activation: Activation | None) -> Count:
    if activation is None or activation.kind != "PReLU":
        return 0, 0
    return int(dict(activation.options).get("num_parameters", 1)), 1


def _pixel_decoder(h: HeadSettings, embed_dim: int) -> Count:
    channels, encoder = h.feat_channels, h.pixel_decoder.encoder
    levels = encoder.attention.num_levels
    samples = encoder.attention.num_heads * levels * encoder.attention.num_points
    order = encoder.operation_order
    norm = _map_norm(h.pixel_decoder.norm, channels)
    plain = h.pixel_decoder.norm is None
    layer = _sum(
        _deformable(channels, samples, channels),
        _times(order.count("ffn"), _feed_forward(channels, encoder.ffn)),
        _times(order.count("norm"), _norm(channels, affine=encoder.norm.elementwise_affine)),
    )
    finer = 4 - levels
    post_norm = encoder.post_norm is not None and encoder.post_norm.elementwise_affine
    return _sum(
        _times(encoder.num_layers, layer),
        _norm(channels, affine=post_norm),
        _times(levels, _sum(_linear(embed_dim, channels), norm)),
        _times(finer, _sum(_linear(embed_dim, channels, bias=plain), norm)),
        _times(finer, _sum(_linear(channels, channels, bias=plain, kernel=9), norm)),
        _times(finer, _slopes(h.pixel_decoder.activation)),
        (levels * channels, 1),
        _linear(channels, h.out_channels),
        _encoding(h.pixel_decoder.positional_encoding),
    )


def _map_norm(norm: MapNorm | None, channels: int) -> Count:
    if norm is None:
        return 0, 0
    return _norm(channels, affine=norm.affine, statistics=norm.track_running_stats)


def _encoding(encoding: object) -> Count:
    if isinstance(encoding, LearnedEncoding):
        return (encoding.row_num_embed + encoding.col_num_embed) * encoding.num_feats, 2
    return 0, 0


def _decoder(h: HeadSettings) -> Count:
    channels, s = h.feat_channels, h.transformer_decoder
    attention = _sum((3 * channels * (channels + 1), 2), _linear(channels, channels))
    layer = _sum(
        _times(2, attention),
        _times(s.operation_order.count("ffn"), _feed_forward(channels, s.ffn)),
        _times(s.operation_order.count("norm"), _norm(channels, affine=s.norm.elementwise_affine)),
    )
    return _sum(_times(s.num_layers, layer), _norm(channels, affine=s.post_norm.elementwise_affine))


def _queries(h: HeadSettings) -> Count:
    channels, levels = h.feat_channels, h.num_transformer_feat_level
    projections = levels * h.enforce_decoder_input_project
    return _sum(
        (2 * h.num_queries * channels, 2),
        (levels * channels, 1),
        _linear(channels, h.num_classes + 1),
        _times(2, _linear(channels, channels)),
        _linear(channels, h.out_channels),
        _times(projections, _linear(channels, channels)),
        _encoding(h.positional_encoding),
    )
