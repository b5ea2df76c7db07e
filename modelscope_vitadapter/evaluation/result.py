"""The result of an evaluation, as JSON and as a table for the terminal."""

from __future__ import annotations

import json
import math
import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.checkpoint.save import written_aside
from modelscope_vitadapter.evaluation.confusion import worst_confusions
from modelscope_vitadapter.evaluation.metrics import Metrics, metrics
from modelscope_vitadapter.version import __version__

MEANS = ("aAcc", "mIoU", "mAcc")
"""Metrics over all classes."""

TABLE_CONFUSIONS = 5
"""Confusions that the table shows."""

WIDE = ("F", "W")
"""East Asian widths of letters that take two places."""


CARD: Mapping[str, Any] = {
    "model": "damo/cv_vitadapter_semantic-segmentation_cocostuff164k",
    "data": "COCO-Stuff-164k val, 5000 images",
    **{"aAcc": 0.6991, "mIoU": 0.4721, "mAcc": 0.5717},
}
"""What the card of the hub's model says of it, shares from 0 to 1."""

COCO_STUFF_LANDMARKS = {0: "person", 79: "toothbrush", 80: "banner", 170: "wood"}
"""First and last names of COCO-Stuff's 80 things and 91 stuff classes, by class id."""


def published_metrics(model: str, classes: Sequence[str]) -> Mapping[str, Any] | None:
    """The card's metrics for the hub's model by its id, and for any of COCO-Stuff's 171 classes."""
    is_coco_stuff = len(classes) == 171 and all(
        classes[place] == name for place, name in COCO_STUFF_LANDMARKS.items()
    )
    return CARD if model == CARD["model"] or is_coco_stuff else None


@dataclass(frozen=True)
class Evaluation:
    """How a model did on a dataset.

    Attributes:
        model: which model.
        data: which dataset.
        pictures: how many images were counted.
        classes: names of the classes by id.
        counts: `(K, K)` int64, pixels by true and predicted class.
        seconds: how long this run took; images that an earlier run had counted took no time.
        settings: what else the result may depend on, such as `device` and `torch_dtype`.
        published: what the model's card says, see `CARD`; None of other models.
    """

    model: str
    data: str
    pictures: int
    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    seconds: float = 0.0
    settings: Mapping[str, str] = field(default_factory=dict)
    published: Mapping[str, Any] | None = None

    @cached_property
    def metrics(self) -> Metrics:
        """aAcc, mIoU, mAcc, and IoU and accuracy by class; shares from 0 to 1."""
        return metrics(self.counts)

    @property
    def figures(self) -> Metrics:
        """The same as `metrics`, under its earlier name."""
        return self.metrics

    def as_dict(self) -> dict[str, Any]:
        """What `write_json` writes: shares from 0 to 1, None in place of NaN."""
        found, names = self.metrics, self.classes
        labelled = self.counts.sum(axis=1)
        return {
            "model": self.model,
            "data": self.data,
            "pictures": self.pictures,
            "seconds": round(self.seconds, 1),
            "package": f"modelscope-vitadapter {__version__}",
            "settings": dict(self.settings),
            **{name: _number(getattr(found, name)) for name in MEANS},
            "published": None if self.published is None else dict(self.published),
            "classes": [
                {
                    "id": k,
                    "name": name,
                    "IoU": _number(found.IoU[k]),
                    "Acc": _number(found.Acc[k]),
                    "pixels": int(labelled[k]),
                }
                for k, name in enumerate(names)
            ],
            "worst_confusions": [
                {
                    "class": names[one.truth],
                    "taken_for": names[one.prediction],
                    "pixels": one.pixels,
                    "share": one.share,
                }
                for one in worst_confusions(self.counts)
            ],
            "confusion_matrix": self.counts.tolist(),
        }

    def write_json(self, path: str | os.PathLike[str]) -> None:
        """Writes everything to a file in UTF-8; it is never there half-written."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        content = self.as_dict()
        rows = ",\n    ".join(json.dumps(row) for row in content.pop("confusion_matrix"))
        text = json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False)
        # A row of the matrix in a line: indented throughout, it would take a line for each number.
        text = f'{text[:-2]},\n  "confusion_matrix": [\n    {rows}\n  ]\n}}\n'
        with written_aside(target) as aside:
            aside.write_text(text, encoding="utf-8")


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def format_table(evaluation: Evaluation) -> str:
    """Classes with IoU, accuracy and labelled pixels, worst confusions, and the means.

    Returns:
        Lines of text; metrics in percent, `-` where a class has none.
    """
    found, names, card = evaluation.metrics, evaluation.classes, evaluation.published
    pixels = evaluation.counts.sum(axis=1)
    classes = [
        (name, _percent(found.IoU[k]), _percent(found.Acc[k]), str(pixels[k]))
        for k, name in enumerate(names)
    ]
    blocks = [_aligned([("class", "IoU", "Acc", "pixels"), *classes])]
    confusions = [
        (
            f"{names[one.truth]} taken for {names[one.prediction]}",
            *(_percent(one.share), str(one.pixels)),
        )
        for one in worst_confusions(evaluation.counts, TABLE_CONFUSIONS)
    ]
    if confusions:
        blocks.append(_aligned([("worst confusions", "of class", "pixels"), *confusions]))
    means = [["percent", "measured"]]
    means += [[name, _percent(getattr(found, name))] for name in MEANS]
    if card is not None:
        published = ["model card", *(_percent(card[name]) for name in MEANS)]
        means = [[*row, cell] for row, cell in zip(means, published, strict=True)]
    summary = [
        f"model     {evaluation.model}",
        f"data      {evaluation.data}, {evaluation.pictures} images",
        _aligned(means),
        *([] if card is None else [f"The card's metrics are of {card['data']}."]),
    ]
    return "\n\n".join([*blocks, "\n".join(summary)])


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.2f}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells in columns; the first is flush left, the others right."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        spaces = [" " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)]
        right = [space + cell for cell, space in zip(row[1:], spaces[1:], strict=True)]
        lines.append("  ".join([row[0] + spaces[0], *right]))
    return "\n".join(lines)


def _width(text: str) -> int:
    """Places that a text takes on a terminal."""
    return sum(2 if unicodedata.east_asian_width(letter) in WIDE else 1 for letter in text)
