"""Counts of pixels by true and predicted class: all that is kept of a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.datasets.label_ids import IGNORED
from modelscope_vitadapter.errors import DataSetError

CHUNK_PIXELS = 2**20
"""Pixels that are counted at a time: beside the two class maps little is held."""


class ConfusionMatrix:
    """A confusion matrix that pictures are added to one after the other.

    Attributes:
        counts: `(K, K)` int64: `counts[t, p]` pixels of class t were predicted as class p. Pixels
            that are ignored are not counted at all.

    Args:
        num_classes: K.
        counts: where to begin; zeros if None. It is copied.
    """

    def __init__(self, num_classes: int, counts: NDArray[np.int64] | None = None) -> None:
        shape = (num_classes, num_classes)
        self.counts: NDArray[np.int64] = np.zeros(shape, np.int64)
        if counts is not None:
            if counts.shape != shape:
                raise DataSetError(f"counts of shape {counts.shape}, expected {shape}")
            self.counts += counts

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.counts)

    def update(self, prediction: NDArray[np.integer], truth: NDArray[np.integer]) -> None:
        """Count a picture.

        Args:
            prediction: `(H, W)` class ids 0..K-1.
            truth: `(H, W)` class ids 0..K-1, `IGNORED` where nothing is known.

        Raises:
            DataSetError: The sizes differ, or a value is no class.
        """
        if prediction.shape != truth.shape:
            raise DataSetError(
                f"a prediction has shape {prediction.shape}, its label map {truth.shape}; expected "
                "the same"
            )
        predicted, true = prediction.ravel(), truth.ravel()
        found = np.zeros_like(self.counts)
        for start in range(0, true.size, CHUNK_PIXELS):
            part = slice(start, start + CHUNK_PIXELS)
            found += self._count(predicted[part], true[part])
        self.counts += found  # only now: a picture that was refused is not counted in part

    def _count(
        self, predicted: NDArray[np.integer], true: NDArray[np.integer]
    ) -> NDArray[np.int64]:
        known = true != IGNORED
        true, predicted = true[known].astype(np.int64), predicted[known].astype(np.int64)
        for name, values in (("label map", true), ("prediction", predicted)):
            if values.size and not (values.min() >= 0 and values.max() < self.num_classes):
                raise DataSetError(
                    f"a {name} holds values from {values.min()} to {values.max()}, expected class "
                    f"ids from 0 to {self.num_classes - 1}"
                )
        pairs = true * self.num_classes + predicted
        counted = np.bincount(pairs, minlength=self.num_classes**2)
        return counted.reshape(self.counts.shape)

    def merge(self, other: ConfusionMatrix) -> None:
        """Add the counts of other pictures.

        Raises:
            DataSetError: The other matrix is of another number of classes.
        """
        if other.num_classes != self.num_classes:
            raise DataSetError(
                f"confusion matrices of {self.num_classes} and {other.num_classes} classes don't "
                "add up"
            )
        self.counts += other.counts


@dataclass(frozen=True)
class Confusion:
    """Pixels of one class that were taken for another.

    Attributes:
        truth: the class that they are of.
        prediction: the class that was predicted.
        pixels: how many.
        share: of the pixels of `truth`, 0 to 1.
    """

    truth: int
    prediction: int
    pixels: int
    share: float


def worst_confusions(counts: NDArray[np.int64], most: int = 20) -> list[Confusion]:
    """The confusions with the most pixels, in descending order."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(wrong, axis=None, kind="stable")[::-1][:most]
    totals = counts.sum(axis=1)
    found = []
    for place in order:
        truth, prediction = (int(one) for one in np.unravel_index(place, wrong.shape))
        pixels = int(wrong[truth, prediction])
        if pixels == 0:
            break
        found.append(Confusion(truth, prediction, pixels, pixels / int(totals[truth])))
    return found
