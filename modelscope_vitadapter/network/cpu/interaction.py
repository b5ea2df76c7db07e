"""Injectors and extractors in bands of tokens."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelscope_vitadapter.network.cpu.bands import band_rows, bands
from modelscope_vitadapter.network.cpu.deformable import Sampler, ValueTable
from modelscope_vitadapter.network.cpu.linear import PackedLinear
from modelscope_vitadapter.network.cpu.maps import as_map, as_tokens
from modelscope_vitadapter.network.deformable_attention import (
    MultiScaleDeformableAttention,
    SpatialShape,
)
from modelscope_vitadapter.network.interaction import ConvFFN, Extractor, Geometry, Injector


def _sampler(
    attention: MultiScaleDeformableAttention,
    points: Tensor,
    values: tuple[Tensor, list[SpatialShape], nn.Module],
    dtype: torch.dtype,
) -> Sampler:
    """Deformable attention from queries at `points` into tokens of given shapes, normed first."""
    tokens, shapes, norm = values
    table = ValueTable(shapes, attention.value_proj.out_features)
    table.fill(tokens, PackedLinear.of(attention.value_proj, dtype=dtype), norm)
    return Sampler(attention, points[0, :, 0], table, dtype)


def run_injector(
    injector: Injector, x: Tensor, c: Tensor, geometry: Geometry, dtype: torch.dtype
) -> None:
    """Updates the ViT's tokens `x` `(h * w, C)` in place from the pyramid `c` `(N, C)`.

    The plain version is `Injector.forward`.
    """
    values = (c, list(geometry.pyramid), injector.feat_norm)
    sample = _sampler(injector.attn, geometry.grid_points, values, dtype)
    for band in bands(len(x), band_rows(dtype)):
        query = injector.query_norm(x[band])
        attended = sample(query, band).float()
        if injector.add_query:
            attended = attended.add_(query)
        x[band].addcmul_(injector.gamma, attended)


def run_extractor(
    extractor: Extractor, c: Tensor, x: Tensor, geometry: Geometry, dtype: torch.dtype
) -> None:
    """Updates the pyramid `c` `(N, C)` in place from the ViT's tokens `x` `(h * w, C)`.

    The plain version is `Extractor.forward`.
    """
    values = (x, [geometry.grid], extractor.feat_norm)
    sample = _sampler(extractor.attn, geometry.pyramid_points, values, dtype)
    for band in bands(len(c), band_rows(dtype)):
        query = extractor.query_norm(c[band])
        c[band].add_(sample(query, band))
        if extractor.add_query:
            c[band].add_(query)
    if extractor.ffn is not None:
        _run_ffn(extractor.ffn, extractor.ffn_norm, c, geometry, dtype)


def _run_ffn(
    ffn: ConvFFN, norm: nn.Module, c: Tensor, geometry: Geometry, dtype: torch.dtype
) -> None:
    """Adds the feed-forward network of the pyramid `c`, in place."""
    expand = PackedLinear.of(ffn.fc1, dtype=dtype)
    contract = PackedLinear.of(ffn.fc2, dtype=dtype)
    hidden = c.new_empty(len(c), ffn.fc1.out_features)
    for band in bands(len(c), band_rows(dtype)):
        hidden[band] = expand(norm(c[band]))
    first = 0
    for height, width in geometry.pyramid:
        tokens = slice(first, first + height * width)
        mixed = as_tokens(ffn.dwconv.dwconv(as_map(hidden[tokens], (height, width))))
        for band in bands(len(mixed), band_rows(dtype)):
            c[tokens][band].add_(contract(F.gelu(mixed[band])))
        first += height * width
