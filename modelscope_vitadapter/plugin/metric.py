"""The metric that ModelScope's trainers build for semantic segmentation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from modelscope.metrics.base import Metric
from numpy.typing import NDArray

from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.evaluation.metrics import ConfusionMatrix, metrics
from modelscope_vitadapter.plugin.registration import METRIC, register

CLASS_MAPS = ("class_map", "class_maps")
TRUTHS = ("classes", "labels", "gt_semantic_seg")
"""Where outputs hold class maps, and inputs true classes; the first that is there counts."""


@register(METRIC)
class VitAdapterSegmentationMetric(Metric):  # type: ignore[misc]  # ModelScope is untyped
    """aAcc, mIoU and mAcc over a streaming confusion matrix, see `evaluation.metrics`.

    Built by `build_metric('vitadapter-segmentation-metric')`, and by a trainer whose configuration
    has that name in `evaluation.metrics`.

    Args:
        num_classes: K; by default that of the model of `trainer`, which ModelScope sets.
        ignored: values of true classes that are not counted; of them, ids of classes are counted.
        **kwargs: what ModelScope passes on.
    """

    trainer: Any = None

    def __init__(
        self, num_classes: int | None = None, ignored: Sequence[int] = (-1, 255), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.ignored = tuple(ignored)
        self.matrix = None if num_classes is None else ConfusionMatrix(num_classes)

    def add(self, outputs: Any, inputs: Any) -> None:
        """Counts a batch.

        Args:
            outputs: what the evaluation step gave: a mapping with `class_map` (or `class_maps`),
                `(H, W)`, `(B, H, W)` or a list of `(H, W)`; or a list of such mappings.
            inputs: the batch: a mapping or an object with `classes` (or `labels`), likewise.

        Raises:
            DataSetError: one of them is missing, or the sizes differ.
        """
        matrix = self._matrix()
        predictions = _maps(_found(outputs, CLASS_MAPS, "the model's outputs"))
        truths = _maps(_found(inputs, TRUTHS, "the batch"))
        if len(predictions) != len(truths):
            raise DataSetError(
                f"the model gave {len(predictions)} class maps for a batch of {len(truths)} "
                "images; expected one for each"
            )
        for prediction, truth in zip(predictions, truths, strict=True):
            ids = [one for one in self.ignored if not 0 <= one < matrix.num_classes]
            matrix.update(prediction, np.where(np.isin(truth, ids), np.int64(-1), truth))

    def evaluate(self) -> dict[str, float]:
        """The metrics over all that was added, shares from 0 to 1; NaN where nothing was."""
        found = metrics(self._matrix().counts)
        return {"aAcc": found.aAcc, "mIoU": found.mIoU, "mAcc": found.mAcc}

    def merge(self, other: "VitAdapterSegmentationMetric") -> None:
        """Adds what another process counted."""
        if other.matrix is not None:
            self.matrix = self.matrix or ConfusionMatrix(other.matrix.num_classes)
            self.matrix.counts += other.matrix.counts

    def __getstate__(self) -> dict[str, Any]:
        """What travels between processes: all but the trainer."""
        return {name: value for name, value in self.__dict__.items() if name != "trainer"}

    def _matrix(self) -> ConfusionMatrix:
        if self.matrix is None:
            model = getattr(self.trainer, "model", None)
            count = getattr(getattr(model, "module", model), "num_classes", None)
            if not isinstance(count, int):
                raise DataSetError(
                    "the metric does not know the number of classes: give num_classes, as in "
                    "{'type': 'vitadapter-segmentation-metric', 'num_classes': 171}"
                )
            self.matrix = ConfusionMatrix(count)
        return self.matrix


def _found(holder: Any, names: Sequence[str], what: str) -> Any:
    """The first of some entries or attributes; of a list of mappings, those of all."""
    if isinstance(holder, list | tuple):
        return [_found(one, names, what) for one in holder]
    for name in names:
        value = holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
        if value is not None:
            return value
    raise DataSetError(f"{what} have none of {', '.join(names)}: expected class ids by pixel")


def _maps(value: Any) -> list[NDArray[Any]]:
    """The `(H, W)` maps in a map, a batch or a list."""
    if isinstance(value, list | tuple):
        return [one for part in value for one in _maps(part)]
    array = torch.as_tensor(value).cpu().numpy()
    return [array] if array.ndim == 2 else list(array)
