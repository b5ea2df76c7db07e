"""What a picture's results take in memory, held against what is free before they are made."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from modelscope_vitadapter.errors import ImageMemoryError
from modelscope_vitadapter.inference.free_memory import free_memory

CLASS_MAP_BYTES = 9
"""Bytes for each pixel that no picture gets by without: the class map is decided in one byte and
given in eight. Reading takes less (four in Pillow, three as an array) and is over by then."""

CPU = torch.device("cpu")


def check_picture_fits(name: str, size: tuple[int, int]) -> None:
    """Refuses a picture whose class map surely does not fit, before its pixels are decoded.

    Args:
        name: how the message calls the input.
        size: `(height, width)` of the picture.

    Raises:
        ImageMemoryError: less memory is free. Never where that is unknown.
    """
    needed = CLASS_MAP_BYTES * size[0] * size[1]
    free = free_memory(CPU)
    if free is not None and needed > free:
        raise ImageMemoryError(
            f"{name} (height {size[0]}, width {size[1]}) needs {needed} bytes for the class of "
            f"each pixel, and {free} bytes are free; reduce it first, or cut it into parts"
        )


def check_masks_fit(size: Sequence[int], count: int, dtype: np.dtype[Any]) -> None:
    """Refuses masks that do not fit, before one of them is made.

    Args:
        size: `(height, width)` of the masks.
        count: how many there are: one for each class that is present.
        dtype: type of their elements.

    Raises:
        ImageMemoryError: less memory is free; it says by what the result fits. Never where that is
            unknown.
    """
    pixels = int(size[0]) * int(size[1])
    needed = mask_bytes(pixels, count, dtype)
    free = free_memory(CPU)
    if free is None or needed <= free:
        return
    narrow = mask_bytes(pixels, count, np.dtype(bool))
    other = f", or mask_dtype=bool ({narrow} bytes)" if dtype.itemsize > 1 else ""
    raise ImageMemoryError(
        f"the masks of a picture of height {size[0]}, width {size[1]} with {count} classes need "
        f"{needed} bytes as {dtype}, and {free} bytes are free; pass output='class_map' "
        f"(one array for all classes){other}"
    )


def mask_bytes(pixels: int, count: int, dtype: np.dtype[Any]) -> int:
    """Memory of `count` masks while they are made: each is found as booleans first."""
    found = 0 if dtype == np.dtype(bool) else pixels
    return pixels * count * dtype.itemsize + (found if count else 0)
