"""The metrics of semantic segmentation, from a confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Metrics:
    """Shares from 0 to 1, as mmsegmentation's `eval_metrics` defines and names them.

    Attributes:
        aAcc: pixels that were predicted rightly, of all that are labelled.
        mIoU: mean of `IoU` over the classes that have one.
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


def metrics(counts: NDArray[np.int64]) -> Metrics:
    """Computes the metrics of a confusion matrix.

    The same operations in float64 as mmsegmentation 0.30's `eval_metrics`, so the same to the last
    digit.

    Args:
        counts: `(K, K)`, true classes by predicted ones.

    Returns:
        The metrics; NaN for means over no class.
    """
    right = np.diagonal(counts).astype(np.float64)
    labelled = counts.sum(axis=1).astype(np.float64)
    predicted = counts.sum(axis=0).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        iou = right / (predicted + labelled - right)
        accuracy = right / labelled
        overall = right.sum() / labelled.sum()
    return Metrics(
        aAcc=float(overall), mIoU=_mean(iou), mAcc=_mean(accuracy), IoU=iou, Acc=accuracy
    )


def _mean(values: NDArray[np.float64]) -> float:
    """Mean without NaN; NaN, and no warning, where there is nothing else."""
    return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")
