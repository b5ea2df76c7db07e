"""Counts of pixels by true and predicted class: all that is kept of an image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.datasets.label_ids import IGNORED
from modelscope_vitadapter.errors import DataSetError

CHUNK_PIXELS = 2**20
"""Pixels that are counted at a time: beside the two class maps little is held."""


class ConfusionMatrix:
    """A confusion matrix that images are added to one after the other.

    Attributes:
        counts: `(K, K)` int64: `counts[t, p]` pixels of class t were predicted as class p. Pixels
            that are ignored are not counted at all.

    Args:
        num_classes: K.
    """

    def __init__(self, num_classes: int) -> None:
        self.counts: NDArray[np.int64] = np.zeros((num_classes, num_classes), np.int64)

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.counts)

    def update(self, prediction: NDArray[np.integer], truth: NDArray[np.integer]) -> None:
        """Counts an image.

        Args:
            prediction: `(H, W)` class ids 0..K-1.
            truth: `(H, W)` class ids 0..K-1, `IGNORED` where nothing is known.

        Raises:
            DataSetError: the sizes differ, or a value is no class.
        """
        if prediction.shape != truth.shape:
            raise DataSetError(
                f"a prediction has shape {prediction.shape}, its label map {truth.shape}; expected "
                "the same"
            )
        found = np.zeros_like(self.counts)
        for start in range(0, truth.size, CHUNK_PIXELS):
            part = slice(start, start + CHUNK_PIXELS)
            true = truth.ravel()[part]
            known = true != IGNORED
            true = self._checked(true[known], "label map")
            predicted = self._checked(prediction.ravel()[part][known], "prediction")
            pairs = true * self.num_classes + predicted
            found += np.bincount(pairs, minlength=found.size).reshape(found.shape)
        self.counts += found  # only now: an image that was refused is not counted in part

    def _checked(self, values: NDArray[np.integer], name: str) -> NDArray[np.int64]:
        if values.size and not (values.min() >= 0 and values.max() < self.num_classes):
            raise DataSetError(
                f"a {name} holds values from {values.min()} to {values.max()}, expected class ids "
                f"from 0 to {self.num_classes - 1}"
            )
        return values.astype(np.int64)


class Confusion(NamedTuple):
    """Pixels of the class `truth` that were taken for `prediction`; their share of it, 0 to 1."""

    truth: int
    prediction: int
    pixels: int
    share: float


def worst_confusions(counts: NDArray[np.int64], most: int = 20) -> list[Confusion]:
    """The confusions with the most pixels, in descending order."""
    wrong = counts * ~np.eye(len(counts), dtype=bool)
    order = np.argsort(wrong, axis=None, kind="stable")[::-1][:most]
    places = zip(*np.unravel_index(order, wrong.shape), strict=True)
    return [
        Confusion(int(t), int(p), int(wrong[t, p]), int(wrong[t, p]) / int(counts[t].sum()))
        for t, p in places
        if wrong[t, p]
    ]
