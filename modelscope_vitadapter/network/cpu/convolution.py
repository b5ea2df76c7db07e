"""3 x 3 convolution of a map, written over its input."""

import torch
from torch import Tensor

from modelscope_vitadapter.network.cpu.bands import Scratch
from modelscope_vitadapter.network.cpu.layout import Shape
from modelscope_vitadapter.network.cpu.linear import PackedLinear
from modelscope_vitadapter.network.cpu.padding import padded_bands
from modelscope_vitadapter.network.cpu.processor import has_matrix_tiles
from modelscope_vitadapter.network.cpu.winograd import convolve_by_winograd

GATHERED_ROWS = 896
"""Cells of a band: 4 rows of the 224 x 224 map of an 896 x 896 window.

Their neighbourhoods take 17 MB in bfloat16 at 1024 channels; more rows are 2 % faster.
"""


def convolve_in_place(
    tokens: Tensor, shape: Shape, weight: Tensor, dtype: torch.dtype, scratch: Scratch
) -> None:
    """`F.conv2d(map, weight, padding=1)`, written over its input.

    Where bfloat16 products are cheap, all of them are made: on a processor with matrix tiles the
    finest map of the full-size model took 1.6 to 1.8 s, Winograd's quarter in float32 2.2 s.

    Args:
        tokens: `(H * W, C)` float32, the map row by row; H and W multiples of 4.
        shape: `(H, W)`.
        weight: `(C, C, 3, 3)`.
        dtype: what products may be computed in.
        scratch: memory for bands.
    """
    if dtype is torch.bfloat16 and has_matrix_tiles():
        convolve_gathered(tokens, shape, weight, dtype, scratch)
    else:
        convolve_by_winograd(tokens, shape, weight, scratch)


def convolve_gathered(
    tokens: Tensor, shape: Shape, weight: Tensor, dtype: torch.dtype, scratch: Scratch
) -> None:
    """The convolution as a linear layer of every cell's neighbourhood (im2col)."""
    height, width = shape
    channels = tokens.shape[1]
    project = PackedLinear(weight.permute(0, 2, 3, 1).flatten(1), dtype=dtype, rows=GATHERED_ROWS)
    maps = tokens.view(height, width, channels)
    for band, padded in padded_bands(maps, dtype, scratch, height=max(1, GATHERED_ROWS // width)):
        count = band.stop - band.start
        taps = scratch.take("taps", count, width, 9, channels, dtype=dtype)
        for i in range(3):
            for j in range(3):
                taps[:, :, 3 * i + j] = padded[i : i + count, j : j + width]
        maps[band] = project(taps.view(count * width, -1)).view(count, width, channels)
