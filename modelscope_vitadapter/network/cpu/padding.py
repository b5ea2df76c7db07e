"""Bands of a map's rows with the zeros or cells around them."""

from collections.abc import Iterator

import torch
from torch import Tensor

from modelscope_vitadapter.network.cpu.bands import Scratch, bands


def padded_bands(
    maps: Tensor, dtype: torch.dtype, scratch: Scratch, *, height: int, step: int = 1
) -> Iterator[tuple[slice, Tensor]]:
    """Bands of a map, each with one row and column of its neighbours or zeros on every side.

    Whoever takes a band may write over its rows: what the next band needs of them is kept.

    Args:
        maps: `(H, W, C)`, H a multiple of `step`.
        dtype: of the bands.
        scratch: where a band is kept until the next is asked for, as `padded`.
        height: most rows of a band, in steps.
        step: rows come in multiples of it.

    Yields:
        The rows, and `(n + 2, W + 2, C)`.
    """
    rows, width, channels = maps.shape
    above = maps.new_zeros(width, channels)
    for band in bands(rows // step, height):
        top, bottom = band.start * step, band.stop * step
        padded = scratch.take("padded", bottom - top + 2, width + 2, channels, dtype=dtype)
        padded[:, 0] = 0
        padded[:, -1] = 0
        padded[0, 1:-1] = above
        padded[1:-1, 1:-1] = maps[top:bottom]
        padded[-1, 1:-1] = maps[bottom] if bottom < rows else 0
        above = maps[bottom - 1].clone()
        yield slice(top, bottom), padded
