"""From a class per pixel to what callers get: masks, labels, scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

SCORE = 0.999
"""The placeholder that the built-in model gives as every mask's score."""


def present_classes(class_map: npt.NDArray[np.integer[Any]], num_classes: int) -> list[int]:
    """Ids of the classes in `(H, W)`, in descending order."""
    counts = np.bincount(class_map.ravel(), minlength=num_classes)
    return [int(i) for i in np.flatnonzero(counts)[::-1]]


def class_masks(
    class_map: npt.NDArray[np.integer[Any]], ids: Sequence[int], dtype: npt.DTypeLike
) -> list[npt.NDArray[Any]]:
    """For each id a mask `(H, W)` of `dtype`, 1 where the class is."""
    return [(class_map == i).astype(dtype, copy=False) for i in ids]


def compact(class_map: npt.NDArray[np.integer[Any]], num_classes: int) -> npt.NDArray[Any]:
    """The class map in the smallest integer type: uint8 up to 256 classes, int32 beyond."""
    return class_map.astype(np.uint8 if num_classes <= 256 else np.int32)
