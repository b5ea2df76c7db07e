"""From a class per pixel to what callers get: masks, labels, scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

SCORE = 0.999
"""The placeholder that the built-in model gives as every mask's score."""


@dataclass(frozen=True)
class Prediction:
    """The class of each pixel, and what else was wanted of it; None is what was not."""

    class_map: Tensor
    """`(H, W)` int64."""
    confidence: Tensor | None = None
    """The highest class probability, `(H, W)` float16."""
    top_ids: Tensor | None = None
    """The best classes `(k, H, W)`, the best one first: uint8 up to 256 classes, int32 beyond."""
    top_probabilities: Tensor | None = None
    """Their probabilities, `(k, H, W)` float16."""
    probabilities: Tensor | Path | None = None
    """Those of all classes, `(K, H, W)` float16 on the CPU, or the `.npy` file that holds them."""
    ignore_id: int | None = None
    """What `class_map` holds where the highest probability is below the threshold."""


OUTPUTS = ("masks", "class_map", "probabilities")


def present_classes(class_map: npt.NDArray[np.integer[Any]], num_classes: int) -> list[int]:
    """Ids of the classes in `(H, W)`, in descending order; larger ids are passed over."""
    counts = np.bincount(class_map.ravel(), minlength=num_classes)[:num_classes]
    return [int(i) for i in np.flatnonzero(counts)[::-1]]


def class_masks(
    class_map: npt.NDArray[np.integer[Any]], ids: Sequence[int], dtype: npt.DTypeLike
) -> list[npt.NDArray[Any]]:
    """For each id a mask `(H, W)` of `dtype`, 1 where the class is."""
    return [(class_map == i).astype(dtype, copy=False) for i in ids]


def compact(
    class_map: npt.NDArray[np.integer[Any]], num_classes: int, ignore_id: int | None = None
) -> npt.NDArray[Any]:
    """The class map in the smallest type that holds all ids: uint8 up to 255, int32 beyond."""
    highest = max(num_classes - 1, ignore_id or 0)
    return class_map.astype(np.uint8 if highest <= 255 else np.int32)


def parse_mask_dtype(value: Any) -> np.dtype[Any]:
    """Reads `mask_dtype`: a bool, integer or floating numpy type, None for int64; or ValueError."""
    try:
        dtype: np.dtype[Any] = np.dtype(np.int64 if value is None else value)
    except TypeError:
        dtype = np.dtype(object)
    if dtype.kind not in "biuf":
        raise ValueError(
            f"mask_dtype={value!r}: expected a numpy type that holds 0 and 1, such as bool, "
            "'uint8' or 'int64'"
        )
    return dtype


def parse_output(value: object) -> str:
    """Reads `output`, `masks` or `class_map`; ValueError for anything else."""
    if value not in OUTPUTS:
        raise ValueError(f"output={value!r}: expected 'masks', 'class_map' or 'probabilities'")
    return str(value)
