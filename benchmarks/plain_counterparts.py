"""Plain counterparts of the tricks of `network/cpu`, and where they are put to switch them off."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.builtin_way import relative_position_index
from modelscope_vitadapter.network.cpu import (
    attention,
    backbone,
    bands,
    convolution,
    decoder,
    interaction,
    linear,
    maps,
    pixel_decoder,
)
from modelscope_vitadapter.network.cpu.maps import as_map, as_tokens
from modelscope_vitadapter.network.deformable_attention import multi_scale_deformable_attention
from modelscope_vitadapter.network.position_bias import strided_position_bias

Patch = tuple[Any, str, Any]
"""Owner, attribute and what to put there."""


def _everywhere(original: Any, replacement: Any, *, but: tuple[Any, ...] = ()) -> list[Patch]:
    """Replaces an object in all modules of the path that hold it."""
    path = bands.__name__.rpartition(".")[0]
    modules = [m for n, m in sys.modules.items() if n.startswith(f"{path}.") and m not in but]
    return [
        (module, name, replacement)
        for module in modules
        for name, value in vars(module).items()
        if value is original
    ]


def _one_band(rows: int, height: int = 0) -> Iterator[slice]:
    return iter([slice(0, rows)])


@lru_cache(maxsize=1)
def _reversed_index(grid: tuple[int, int]) -> Tensor:
    return relative_position_index(grid).flip(-1)


class _GatheredBias:
    """`HeadBias` as BEiT makes it: gathered from the table by an index, for all pairs of tokens."""

    def __init__(self, bias: Tensor, width: int) -> None:
        self.bias, self.width = bias, width

    @classmethod
    def of_table(cls, table: Tensor, grid: tuple[int, int]) -> "_GatheredBias":
        return cls(table[_reversed_index(grid)], grid[1])

    def write_to(self, spread: Tensor) -> None:
        spread.copy_(self.bias)

    def add_to(self, scores: Tensor, first_row: int) -> None:
        first = 1 + first_row * self.width
        scores.add_(self.bias[first : first + len(scores)])

    def add_to_class(self, scores: Tensor) -> None:
        scores.add_(self.bias[:1])


def _attention_of_all_heads(q: Tensor, k: Tensor, v: Tensor, table: Tensor, grid: Any) -> Tensor:
    bias = strided_position_bias(table, grid, dtype=q.dtype)
    q, k, v = (x.contiguous()[None] for x in (q, k, v))
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None], scale=1.0)
    return mixed[0].transpose(0, 1).flatten(1)


class _GridSampler:
    """`Sampler` by `grid_sample`, as the plain module samples."""

    def __init__(self, attention: Any, points: Tensor, table: Any, dtype: torch.dtype) -> None:
        self.attention, self.points, self.shapes = attention, points, table.shapes
        self.output = linear.PackedLinear.of(attention.output_proj, dtype=dtype)
        parts = []
        for (height, width), start in zip(table.shapes, table.starts, strict=True):
            rows = table.cells[start : start + (height + 2) * table.stride]
            rows = rows.view(height + 2, table.stride, -1)
            parts.append(rows[1:-1, 1 : width + 1].flatten(0, 1))
        self.values = torch.cat(parts).unflatten(1, (attention.num_heads, -1))[None]

    def __call__(self, query: Tensor, band: slice) -> Tensor:
        module = self.attention
        shape = (len(query), module.num_heads, module.num_levels, module.num_points)
        offsets = module.sampling_offsets(query).view(1, *shape, 2)
        weights = module.attention_weights(query).view(1, *shape[:2], -1).softmax(-1)
        sizes = query.new_tensor([(width, height) for height, width in self.shapes])
        places = self.points[band][None, :, None, None, None] + offsets / sizes[:, None]
        sampled = multi_scale_deformable_attention(
            self.values, self.shapes, places, weights.view(1, *shape)
        )
        return self.output(sampled[0])


def _direct_convolution(tokens: Tensor, shape: Any, weight: Tensor, dtype: torch.dtype) -> None:
    convolved = F.conv2d(as_map(tokens, shape).to(dtype), weight.to(dtype), padding=1)
    tokens.copy_(as_tokens(convolved))


def _uncomposed_finest_map(
    lateral: Any, network: Any, features: Any, shape: Any, dtype: torch.dtype
) -> Tensor:
    height, width = shape[0] // 2, shape[1] // 2
    coarse = as_map(features.pyramid[: height * width], (height, width))
    finest = network.up(coarse) + network.spm.fc1(as_map(features.local, shape))
    if features.vit is not None:
        vit = as_map(features.vit[0], features.geometry.grid)
        finest = finest + F.interpolate(vit, shape, mode="bilinear")
        features.vit = None
    with torch.autocast("cpu", dtype, enabled=dtype is not torch.float32):
        return as_tokens(lateral(network.norm1(finest)).float())


def _norm_of_the_whole(tokens: Tensor, norm: Any) -> None:
    tokens.copy_(norm(tokens.t()[None])[0].t())


def _add_whole_resized(tokens: Tensor, shape: Any, above: Tensor, above_shape: Any) -> None:
    tokens.add_(maps.resize_tokens(above, above_shape, shape))


class _FullSizeMasks(decoder.MaskPredictor):
    """Every prediction's masks are made at full size and resized."""

    def __init__(self, head: Any, features: Any) -> None:
        super().__init__(head, features)
        self._resized = [None] * len(self._resized)


class _MasksOfMaskFeatures(decoder.MaskPredictor):
    """The mask-feature convolution is computed, not folded into the embedding of queries."""

    def __init__(self, head: Any, features: Any) -> None:
        convolution = head.pixel_decoder.mask_feature
        projected = F.linear(features.finest, convolution.weight.flatten(1), convolution.bias)
        super().__init__(head, replace(features, finest=projected))

    def _logits(self, query: Tensor, tokens: Tensor) -> Tensor:
        return self._embed(query) @ tokens.t()


TRICKS: dict[str, Callable[[], list[Patch]]] = {
    "packed linear layers": lambda: [(linear, "can_pack", lambda dtype: False)],
    "bands of tokens": lambda: _everywhere(
        bands.bands, _one_band, but=(attention, convolution, bands)
    ),
    "malloc_trim": lambda: _everywhere(bands.return_freed_memory, lambda: None),
    "attention head by head": lambda: [(backbone, "run_attention", _attention_of_all_heads)],
    "the other kind of attention": lambda: [
        (attention, "has_matrix_tiles", lambda: not bands.has_matrix_tiles())
    ],
    "position bias by strides": lambda: [(attention, "HeadBias", _GatheredBias)],
    "weighted bags": lambda: [
        (interaction, "Sampler", _GridSampler),
        (pixel_decoder, "Sampler", _GridSampler),
    ],
    "convolution by Winograd or gathered": lambda: [
        (pixel_decoder, "convolve_in_place", _direct_convolution)
    ],
    "the other kind of convolution": lambda: [
        (convolution, "has_matrix_tiles", lambda: not bands.has_matrix_tiles())
    ],
    "composed finest map": lambda: [(pixel_decoder, "finest_map", _uncomposed_finest_map)],
    "group norms in place": lambda: _everywhere(maps.normalise, _norm_of_the_whole, but=(maps,)),
    "resizing in bands": lambda: _everywhere(maps.add_resized, _add_whole_resized, but=(maps,)),
    "masks at attention's resolution": lambda: [(decoder, "MaskPredictor", _FullSizeMasks)],
    "mask features folded": lambda: [(decoder, "MaskPredictor", _MasksOfMaskFeatures)],
}
"""What is put where to switch a trick off, by its name."""
