"""The result of an evaluation, and its form as JSON."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.evaluation.confusion import worst_confusions
from modelscope_vitadapter.evaluation.figures import Figures, figures
from modelscope_vitadapter.evaluation.published import Published
from modelscope_vitadapter.version import __version__


@dataclass(frozen=True)
class Evaluation:
    """How a model did on a data set.

    Attributes:
        model: which model.
        data: which data set.
        pictures: how many were counted.
        classes: names of the classes by id.
        counts: `(K, K)` int64, pixels by true and predicted class.
        seconds: how long this run took; pictures that an earlier run had counted took no time.
        settings: what else the result may depend on, such as `device` and `torch_dtype`.
        published: figures of the model's card, where they are of this model.
    """

    model: str
    data: str
    pictures: int
    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    seconds: float = 0.0
    settings: Mapping[str, str] = field(default_factory=dict)
    published: Published | None = None

    @cached_property
    def figures(self) -> Figures:
        """aAcc, mIoU, mAcc, and IoU and accuracy by class; shares from 0 to 1."""
        return figures(self.counts)

    def as_dict(self) -> dict[str, Any]:
        """What `write_json` writes: shares from 0 to 1, None in place of NaN."""
        found = self.figures
        labelled = self.counts.sum(axis=1)
        return {
            "model": self.model,
            "data": self.data,
            "pictures": self.pictures,
            "seconds": round(self.seconds, 1),
            "package": f"modelscope-vitadapter {__version__}",
            "settings": dict(self.settings),
            "aAcc": _number(found.aAcc),
            "mIoU": _number(found.mIoU),
            "mAcc": _number(found.mAcc),
            "published": None if self.published is None else asdict(self.published),
            "classes": [
                {
                    "id": k,
                    "name": name,
                    "IoU": _number(found.IoU[k]),
                    "Acc": _number(found.Acc[k]),
                    "pixels": int(labelled[k]),
                }
                for k, name in enumerate(self.classes)
            ],
            "worst_confusions": [
                {
                    "class": self.classes[one.truth],
                    "taken_for": self.classes[one.prediction],
                    "pixels": one.pixels,
                    "share": one.share,
                }
                for one in worst_confusions(self.counts)
            ],
            "confusion_matrix": self.counts.tolist(),
        }

    def write_json(self, path: str | os.PathLike[str]) -> None:
        """Write everything to a file in UTF-8; it is never there half-written."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        content = self.as_dict()
        rows = ",\n    ".join(json.dumps(row) for row in content.pop("confusion_matrix"))
        text = json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False)
        # A row of the matrix in a line: indented throughout, it would take a line for each number.
        text = f'{text[:-2]},\n  "confusion_matrix": [\n    {rows}\n  ]\n}}\n'
        aside = target.with_name(f"{target.name}.{os.getpid()}.writing")
        try:
            aside.write_text(text, encoding="utf-8")
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
