"""Counts of pixels by true and predicted class, and the metrics of semantic segmentation."""

from collections.abc import Sequence
from dataclasses import dataclass
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
        num_classes: K.
        counts: `(K, K)` int64: `counts[t, p]` pixels of class t were predicted as class p. Pixels
            that are ignored are not counted at all.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.counts: NDArray[np.int64] = np.zeros((num_classes, num_classes), np.int64)

    def update(self, prediction: NDArray[np.integer], truth: NDArray[np.integer]) -> None:
        """Counts an image: class ids `(H, W)`, 0 to K - 1, in `truth` also `IGNORED`.

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


@dataclass(frozen=True)
class Metrics:
    """Shares from 0 to 1, as mmsegmentation's `eval_metrics` defines and names them.

    Attributes:
        aAcc: pixels that were predicted rightly, of all that are labelled.
        mIoU: mean of `IoU` over the classes that have one; NaN where none has, as `mAcc`.
        mAcc: mean of `Acc` over the classes that have one.
        IoU: `(K,)` intersection over union; NaN for a class that is neither labelled nor predicted.
        Acc: `(K,)` of the pixels of each class, those predicted rightly; NaN for a class that is
            not labelled anywhere.
    """

    aAcc: float  # noqa: N815  # the field's names
    mIoU: float  # noqa: N815
    mAcc: float  # noqa: N815
    IoU: NDArray[np.float64]
    Acc: NDArray[np.float64]


def metrics(counts: NDArray[np.int64], excluded: Sequence[int] = ()) -> Metrics:
    """The metrics of a confusion matrix `(K, K)`, true classes by predicted ones.

    With mmsegmentation 0.30's operations in float64, so the same to the last digit. Classes that
    are `excluded` have none.
    """
    right = np.diagonal(counts).astype(np.float64)
    labelled = counts.sum(axis=1).astype(np.float64)
    predicted = counts.sum(axis=0).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        iou = right / (predicted + labelled - right)
        accuracy = right / labelled
        overall = float(right.sum() / labelled.sum())
    for values in (iou, accuracy):
        values[[one for one in excluded if one < len(values)]] = np.nan
    return Metrics(overall, _mean(iou), _mean(accuracy), IoU=iou, Acc=accuracy)


def _mean(values: NDArray[np.float64]) -> float:
    """Mean without NaN; NaN, and no warning, where there is nothing else."""
    return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")
