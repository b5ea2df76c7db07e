"""Cuts rows into bands, and gives back what they leave in memory."""

import ctypes
import math
from collections.abc import Callable, Iterator
from functools import lru_cache

import torch

from modelscope_vitadapter.devices import processor_features

BAND_ROWS = 825
"""Rows of a band of tokens: 14 rows of the 56 x 56 grid of an 896 x 896 window, and some to spare,
so that its 3137 tokens and the 16464 of its pyramid make bands of nearly that height. 784 rows take
3 MB at 1024 channels and 13 MB in a feed-forward network, which stays in the cache."""


@lru_cache(maxsize=1)
def has_matrix_tiles() -> bool:
    """Whether the processor multiplies whole tiles of matrices (Intel's AMX).

    There products, above all in bfloat16, are cheap beside everything else, so what writes less to
    memory wins over what multiplies less.
    """
    return bool(processor_features().get("amx_tile"))


def band_rows(dtype: torch.dtype) -> int:
    """Rows of a band whose products are computed in a type.

    With matrix tiles, a bfloat16 linear layer of 1024 by 1024 channels reaches 2000 GFLOP/s for up
    to 512 rows and for 1568 and more, and half of that for 560 to 1046.
    """
    return 2 * BAND_ROWS if dtype is torch.bfloat16 and has_matrix_tiles() else BAND_ROWS


def bands(rows: int, height: int = BAND_ROWS) -> Iterator[slice]:
    """Consecutive slices of `range(rows)`, as equal as can be, of at most `height` rows."""
    count = max(1, math.ceil(rows / height))
    edges = [rows * i // count for i in range(count + 1)]
    return (slice(edges[i], edges[i + 1]) for i in range(count))


def row_bands(rows: int, width: int, height: int = BAND_ROWS) -> Iterator[slice]:
    """The same for the rows of a map, each of `width` tokens; `height` is in tokens."""
    return bands(rows, max(1, height // width))


def return_freed_memory() -> None:
    """Lets the C library give freed memory back to the system, where it can be told to.

    Small blocks, such as bands and reordered weights, are kept by it otherwise: 0.15 GB at the
    full-size model's peak, and as much again in a second window.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@lru_cache(maxsize=1)
def _malloc_trim() -> Callable[[int], int] | None:
    """The function of the GNU C library, or None on another."""
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # TypeError: Windows has no main program's library
        return None
    return trim
