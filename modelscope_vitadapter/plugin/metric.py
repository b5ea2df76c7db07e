"""The metric that ModelScope's trainers build for semantic segmentation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from modelscope.metrics.base import Metric
from numpy.typing import NDArray

from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.plugin.registration import METRIC, register

CLASS_MAPS = ("class_map", "class_maps")
"""Where a model's outputs hold class maps."""

TRUTHS = ("classes", "labels", "gt_semantic_seg")
"""Where a batch's inputs hold true classes, in the order in which they are looked for."""


@register(METRIC)
class VitAdapterSegmentationMetric(Metric):  # type: ignore[misc]  # ModelScope is untyped
    """aAcc, mIoU and mAcc over a streaming confusion matrix, as `evaluation.figures` defines them.

    Built by `build_metric('vitadapter-segmentation-metric')`, and by a trainer whose configuration
    has that name in `evaluation.metrics`.

    Attributes:
        matrix: the `evaluation.confusion.ConfusionMatrix`; None before the first batch where the
            number of classes was not given.
        trainer: set by ModelScope's trainer; its model's `num_classes` is taken where none is
            given.

    Args:
        num_classes: K; the trainer's model's by default.
        ignored: values of true classes that are not counted.
        **kwargs: what ModelScope passes on.
    """

    trainer: Any = None

    def __init__(
        self, num_classes: int | None = None, ignored: Sequence[int] = (-1, 255), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.ignored = tuple(ignored)
        self.matrix: Any = None

    def add(self, outputs: Any, inputs: Any) -> None:
        """Counts a batch.

        Args:
            outputs: what the evaluation step gave: a mapping with `class_map` (or `class_maps`),
                `(H, W)`, `(B, H, W)` or a list of `(H, W)`; or a list of such mappings.
            inputs: the batch: a mapping or an object with `classes` (or `labels`), of the same
                form; values of `ignored` are not counted.

        Raises:
            DataSetError: one of them is missing, or the sizes differ.
        """
        matrix = self._matrix()
        predictions = _maps(_found(outputs, CLASS_MAPS, "the model's outputs"))
        truths = _maps(_found(inputs, TRUTHS, "the batch"))
        if len(predictions) != len(truths):
            raise DataSetError(
                f"the model gave {len(predictions)} class maps for a batch of {len(truths)} "
                "pictures; expected one for each"
            )
        for prediction, truth in zip(predictions, truths, strict=True):
            known = ~np.isin(truth, [one for one in self.ignored if one < 0 or self._no_class(one)])
            matrix.update(prediction, np.where(known, truth, -1))

    def evaluate(self) -> dict[str, float]:
        """The figures over all that was added, shares from 0 to 1; NaN where nothing was."""
        from modelscope_vitadapter.evaluation.figures import figures

        found = figures(self._matrix().counts)
        return {"aAcc": found.aAcc, "mIoU": found.mIoU, "mAcc": found.mAcc}

    def merge(self, other: "VitAdapterSegmentationMetric") -> None:
        """Adds what another process counted."""
        if other.matrix is not None:
            if self.matrix is None:
                self.num_classes = other.num_classes
            self._matrix().merge(other.matrix)

    def __getstate__(self) -> dict[str, Any]:
        """What travels between processes: all but the trainer."""
        return {name: value for name, value in self.__dict__.items() if name != "trainer"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)

    def _no_class(self, value: int) -> bool:
        return self.num_classes is None or value >= self.num_classes

    def _matrix(self) -> Any:
        if self.matrix is None:
            from modelscope_vitadapter.evaluation.confusion import ConfusionMatrix

            if self.num_classes is None:
                self.num_classes = self._classes_of_model()
            self.matrix = ConfusionMatrix(self.num_classes)
        return self.matrix

    def _classes_of_model(self) -> int:
        model = getattr(self.trainer, "model", None)
        model = getattr(model, "module", model)  # the wrapper of several processes
        count = getattr(model, "num_classes", None)
        if not isinstance(count, int):
            raise DataSetError(
                "the metric does not know the number of classes: give num_classes, as in "
                "{'type': 'vitadapter-segmentation-metric', 'num_classes': 171}"
            )
        return count


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
    array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    return [array] if array.ndim == 2 else list(array)
