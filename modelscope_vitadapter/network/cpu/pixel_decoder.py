"""The pixel decoder for one window; the plain version is `MSDeformAttnPixelDecoder.forward`.

What the plain version computes in steps is composed on the finest map: up-sampling, spatial prior,
batch norm and lateral convolution become one linear map each of the stride-8 tokens, of the spatial
prior's channels and of the ViT's tokens.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from modelscope_vitadapter.network.adapter import BEiTAdapter
from modelscope_vitadapter.network.cpu.backbone import BackboneTokens
from modelscope_vitadapter.network.cpu.bands import band_rows, bands, return_freed_memory, row_bands
from modelscope_vitadapter.network.cpu.convolution import convolve_in_place
from modelscope_vitadapter.network.cpu.deformable import Sampler, ValueTable
from modelscope_vitadapter.network.cpu.linear import PackedLinear
from modelscope_vitadapter.network.cpu.maps import (
    Shape,
    add_resized,
    as_map,
    as_tokens,
    fold_before,
    normalise,
    resize_tokens,
)
from modelscope_vitadapter.network.deformable_attention import (
    MultiScaleDeformableAttention,
    reference_points,
)
from modelscope_vitadapter.network.pixel_decoder import ConvModule, MSDeformAttnPixelDecoder
from modelscope_vitadapter.network.positional_encoding import positional_encoding
from modelscope_vitadapter.network.transformer_layer import EncoderLayer, FeedForward


@dataclass
class PixelFeatures:
    """What the transformer decoder works on.

    Attributes:
        finest: tokens of stride 4, `(H / 4 * W / 4, C)`, to be projected by `mask_feature`.
        finest_shape: `(H / 4, W / 4)`.
        maps: the encoder's tokens `(N, C)`, lowest resolution first.
        shapes: their `(height, width)`.
    """

    finest: Tensor
    finest_shape: Shape
    maps: list[Tensor]
    shapes: list[Shape]


def run_pixel_decoder(
    decoder: MSDeformAttnPixelDecoder,
    backbone: BEiTAdapter,
    features: BackboneTokens,
    dtype: torch.dtype,
) -> PixelFeatures:
    """Decodes the backbone's tokens, which are overwritten."""
    shapes = list(features.geometry.pyramid)[::-1]
    tokens = input_tokens(decoder, backbone, features, dtype)
    encode(decoder, tokens, shapes, dtype)
    maps = list(torch.split(tokens, [height * width for height, width in shapes]))
    return_freed_memory()
    lateral = cast("ConvModule", decoder.lateral_convs[0])
    output = cast("ConvModule", decoder.output_convs[0])
    shape = (2 * shapes[-1][0], 2 * shapes[-1][1])
    finest = finest_map(lateral.conv, backbone, features, shape, dtype)
    features.release()
    return_freed_memory()
    normalise(finest, lateral.gn)
    add_resized(finest, shape, maps[-1], shapes[-1])
    convolve_in_place(finest, shape, output.conv.weight, dtype)
    return_freed_memory()
    normalise(finest, output.gn)
    return PixelFeatures(finest.relu_(), shape, maps, shapes)


def input_tokens(
    decoder: MSDeformAttnPixelDecoder,
    backbone: BEiTAdapter,
    features: BackboneTokens,
    dtype: torch.dtype,
) -> Tensor:
    """The backbone's maps of strides 32, 16 and 8 as the encoder's tokens, joined."""
    shapes = features.geometry.pyramid
    levels = list(torch.split(features.pyramid, [height * width for height, width in shapes]))
    if features.vit is not None:
        added = resize_tokens(features.vit[1], features.geometry.grid, shapes[0])
        levels[0] = levels[0] + added
    norms = (backbone.norm2, backbone.norm3, backbone.norm4)
    convs = cast("Iterable[ConvModule]", decoder.input_convs)
    results = []
    for conv, tokens, shape, norm in zip(
        convs, levels[::-1], shapes[::-1], norms[::-1], strict=True
    ):
        normed = as_tokens(norm(as_map(tokens, shape)))
        project = PackedLinear(conv.conv.weight.flatten(1), conv.conv.bias, dtype=dtype)
        parts = [project(normed[band]).float() for band in bands(len(normed), band_rows(dtype))]
        results.append(torch.cat(parts))
        normalise(results[-1], conv.gn)
    return torch.cat(results)


def encode(
    decoder: MSDeformAttnPixelDecoder, tokens: Tensor, shapes: list[Shape], dtype: torch.dtype
) -> None:
    """Runs the deformable encoder over `tokens` `(N, C)` in place."""
    width = tokens.shape[1]
    positions = [positional_encoding(*shape, width, tokens.device)[0] for shape in shapes]
    points = reference_points(shapes, device=tokens.device)[0, :, 0]
    for layer in cast("Iterable[EncoderLayer]", decoder.encoder.layers):
        attention = cast("MultiScaleDeformableAttention", layer.attentions[0])
        first_norm, second_norm = layer.norms
        table = ValueTable(shapes, width)
        table.fill(tokens, PackedLinear.of(attention.value_proj, dtype=dtype))
        sample = Sampler(attention, points, table, dtype)
        feed_forward = BandFeedForward(cast("FeedForward", layer.ffns[0]), dtype)
        start = 0
        for shape, position, level in zip(
            shapes, positions, decoder.level_encoding.weight, strict=True
        ):
            for cells in bands(shape[0] * shape[1], band_rows(dtype)):
                band = slice(start + cells.start, start + cells.stop)
                x = tokens[band]
                x = first_norm(x + sample((position[cells] + level).add_(x), band))
                tokens[band] = second_norm(feed_forward(x).add_(x))
            start += shape[0] * shape[1]


class BandFeedForward:
    """A feed-forward network for bands `(n, C)`; the plain version is `FeedForward.forward`."""

    def __init__(self, ffn: FeedForward, dtype: torch.dtype) -> None:
        expand, _ = cast("nn.Sequential", ffn.layers[0])
        contract = cast("nn.Linear", ffn.layers[1])
        self._expand = PackedLinear.of(cast("nn.Linear", expand), dtype=dtype, activation="relu")
        self._contract = PackedLinear.of(contract, dtype=dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """Maps `(n, C)` to the same shape, float32, without residual."""
        return self._contract(self._expand(x)).float()


def finest_map(
    lateral: nn.Conv2d,
    backbone: BEiTAdapter,
    features: BackboneTokens,
    shape: Shape,
    dtype: torch.dtype,
) -> Tensor:
    """The lateral convolution of the backbone's stride-4 map, `(H / 4 * W / 4, C)` float32.

    The ViT's tokens are released before that much memory is taken.
    """
    weight, bias = fold_before(lateral.weight.flatten(1), backbone.norm1)
    prior, up = backbone.spm.fc1, backbone.up
    for added in (prior.bias, up.bias):
        bias = bias if added is None else bias + weight @ added
    vit = None
    if features.vit is not None:
        vit = PackedLinear(weight, dtype=dtype)(features.vit[0]).float()
        features.vit = None
    # (in, out, 2, 2) to (2, 2, out, in): each stride-8 token gives a square of four.
    squares = weight @ up.weight.permute(2, 3, 1, 0)
    spread = PackedLinear(squares.flatten(0, 2), dtype=dtype)
    locally = PackedLinear(weight @ prior.weight.flatten(1), bias, dtype=dtype)
    height, width = shape[0] // 2, shape[1] // 2
    finest = weight.new_empty(shape[0] * shape[1], len(weight))
    coarse = features.pyramid[: height * width].view(height, width, -1)
    fine = finest.view(height, 2, width, 2, -1)
    for rows in row_bands(height, width):
        squares = spread(coarse[rows].flatten(0, 1)).view(-1, width, 2, 2, len(weight))
        fine[rows] = squares.permute(0, 2, 1, 3, 4)
    for rows in row_bands(*shape):
        band = slice(rows.start * shape[1], rows.stop * shape[1])
        finest[band].add_(locally(features.local[band]))
    if vit is not None:
        add_resized(finest, shape, vit, features.geometry.grid)
    return finest
