"""The pixel decoder for one window; the plain version is `MSDeformAttnPixelDecoder.forward`.

What the plain version computes in steps is composed where that is exact: the backbone's batch norms
go into the linear layers behind them; on the finest map, up-sampling, spatial prior, batch norm and
lateral convolution become one linear map each of the stride-8 tokens, of the spatial prior's
channels and of the ViT's tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modelscope_vitadapter.network.adapter import BEiTAdapter
from modelscope_vitadapter.network.cpu.backbone import BackboneTokens
from modelscope_vitadapter.network.cpu.bands import (
    Scratch,
    band_rows,
    bands,
    return_freed_memory,
    row_bands,
)
from modelscope_vitadapter.network.cpu.convolution import convolve_in_place
from modelscope_vitadapter.network.cpu.deformable import Sampler, ValueTable
from modelscope_vitadapter.network.cpu.folding import fold_before
from modelscope_vitadapter.network.cpu.layers import BandLayer
from modelscope_vitadapter.network.cpu.linear import PackedLinear
from modelscope_vitadapter.network.cpu.map_norm import group_affine, normalise
from modelscope_vitadapter.network.cpu.modules import modules_of
from modelscope_vitadapter.network.cpu.positions import GridPositions
from modelscope_vitadapter.network.cpu.resizing import resize_band, resize_tokens
from modelscope_vitadapter.network.deformable_attention import (
    MultiScaleDeformableAttention,
    SpatialShape,
    reference_points,
)
from modelscope_vitadapter.network.pixel_decoder import ConvModule, MSDeformAttnPixelDecoder
from modelscope_vitadapter.network.stages import DEFORMABLE_ATTENTION, stage
from modelscope_vitadapter.network.transformer_layer import TransformerLayer

LEVELS = 3
"""Maps that the encoder works on: strides 32, 16 and 8."""


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
    finest_shape: SpatialShape
    maps: list[Tensor]
    shapes: list[SpatialShape]


def run_pixel_decoder(
    decoder: MSDeformAttnPixelDecoder,
    backbone: BEiTAdapter,
    features: BackboneTokens,
    dtype: torch.dtype,
    scratch: Scratch,
) -> PixelFeatures:
    """Decodes the backbone's tokens, which are overwritten."""
    shapes = list(features.geometry.pyramid)[::-1]
    sizes = [height * width for height, width in shapes]
    tokens = _input_tokens(decoder, backbone, features, shapes, dtype)
    encode(decoder, tokens, shapes, dtype, scratch)
    maps = list(torch.split(tokens, sizes))
    scratch.drop("table")
    return_freed_memory()
    shape = (2 * shapes[-1][0], 2 * shapes[-1][1])
    (lateral,) = modules_of(decoder.lateral_convs, ConvModule)
    (output,) = modules_of(decoder.output_convs, ConvModule)
    finest = _lateral(lateral.conv, backbone, features, shape, dtype)
    features.release()
    return_freed_memory()
    _add_resized(lateral, finest, shape, maps[-1], shapes[-1])
    convolve_in_place(finest, shape, output.conv.weight, dtype, scratch)
    scratch.drop("padded", "taps")
    return_freed_memory()
    if output.conv.bias is not None:
        finest.add_(output.conv.bias)
    normalise(finest, shape, _norm(output))
    if output.activate is not None:
        for band in bands(len(finest)):
            finest[band] = output.activate(finest[band])
    return PixelFeatures(finest, shape, maps, shapes)


def _norm(module: ConvModule) -> nn.Module | None:
    return module.get_submodule(module.norm_name) if module.norm_name else None


def _input_tokens(
    decoder: MSDeformAttnPixelDecoder,
    backbone: BEiTAdapter,
    features: BackboneTokens,
    shapes: list[SpatialShape],
    dtype: torch.dtype,
) -> Tensor:
    """The backbone's maps of strides 32, 16 and 8 as the encoder's tokens, joined."""
    levels = torch.split(features.pyramid, [height * width for height, width in shapes[::-1]])
    norms = (backbone.norm2, backbone.norm3, backbone.norm4)
    convs = modules_of(decoder.input_convs, ConvModule)
    results = []
    for conv, shape, i in zip(convs, shapes, reversed(range(LEVELS)), strict=True):
        tokens = levels[i]
        if i == 0 and features.vit is not None:
            tokens = tokens + resize_tokens(features.vit[1], features.geometry.grid, shape)
        weight, bias = fold_before(conv.conv.weight.flatten(1), conv.conv.bias, norms[i])
        project = PackedLinear(weight, bias, dtype=dtype)
        projected = torch.cat(
            [project(tokens[band]).float() for band in bands(len(tokens), band_rows(dtype))]
        )
        normalise(projected, shape, _norm(conv))
        results.append(projected if conv.activate is None else conv.activate(projected))
    return torch.cat(results)


def encode(
    decoder: MSDeformAttnPixelDecoder,
    tokens: Tensor,
    shapes: list[SpatialShape],
    dtype: torch.dtype,
    scratch: Scratch,
) -> None:
    """Runs the deformable encoder over `tokens` `(N, C)` in place."""
    sizes = [height * width for height, width in shapes]
    positions = [GridPositions(decoder.postional_encoding, shape) for shape in shapes]
    level_encodings = decoder.level_encoding.weight
    points = reference_points(shapes, device=tokens.device)[0, :, 0]
    for layer in modules_of(decoder.encoder.layers, TransformerLayer):
        (attention,) = modules_of(layer.attentions, MultiScaleDeformableAttention)
        with stage(DEFORMABLE_ATTENTION):
            table = ValueTable(shapes, tokens.shape[1], scratch)
        table.fill(tokens, PackedLinear.of(attention.value_proj, dtype=dtype))
        sample = Sampler(attention, points, table, dtype)
        run = BandLayer(layer, dtype)
        first = 0
        for size, level_positions, level in zip(sizes, positions, level_encodings, strict=True):
            for cells in bands(size, band_rows(dtype)):
                band = slice(first + cells.start, first + cells.stop)
                position = level_positions.of(cells).add_(level)
                tokens[band] = run(tokens[band], _attend(sample, position, band))
            first += size
    if decoder.encoder.post_norm is not None:
        for band in bands(len(tokens)):
            tokens[band] = decoder.encoder.post_norm(tokens[band])


def _attend(sample: Sampler, position: Tensor, band: slice) -> Callable[[Tensor], Tensor]:
    """What a layer's attention does with the current query of a band at `position`."""
    return lambda query: sample(query + position, band)


def _lateral(
    lateral: nn.Conv2d,
    backbone: BEiTAdapter,
    features: BackboneTokens,
    shape: SpatialShape,
    dtype: torch.dtype,
) -> Tensor:
    """The lateral convolution of the backbone's stride-4 map, `(H / 4 * W / 4, C)` float32.

    The ViT's tokens are released before that much memory is taken.
    """
    weight, bias = fold_before(lateral.weight.flatten(1), lateral.bias, backbone.norm1)
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
            finest[band].add_(resize_band(vit, features.geometry.grid, shape, rows))
    return finest


def _add_resized(
    module: ConvModule,
    tokens: Tensor,
    shape: SpatialShape,
    above: Tensor,
    above_shape: SpatialShape,
) -> None:
    """Finishes a lateral convolution (norm, activation) and adds the map above it, in place."""
    norm = _norm(module)
    affine = None
    if isinstance(norm, nn.GroupNorm):
        affine = group_affine(tokens, norm)
    else:
        normalise(tokens, shape, norm)
    for rows in row_bands(*shape):
        part = tokens[rows.start * shape[1] : rows.stop * shape[1]]
        if affine is not None:
            torch.addcmul(affine[1], part, affine[0], out=part)
        if module.activate is not None:
            part.copy_(module.activate(part))
        part.add_(resize_band(above, above_shape, shape, rows))
