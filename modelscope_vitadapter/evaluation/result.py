"""The result of an evaluation, as JSON, as a table for the terminal, and as a plot."""

import json
import math
import os
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.checkpoint.save import written_aside
from modelscope_vitadapter.evaluation.metrics import Metrics, metrics, worst_confusions
from modelscope_vitadapter.version import __version__
from modelscope_vitadapter.visualization.fonts import plot_families

MEANS = ("aAcc", "mIoU", "mAcc")
"""Metrics over all classes."""

TABLE_CONFUSIONS = 5
"""Confusions that the table shows; the plot shows 20."""

WIDTH_INCHES, MIN_INCHES, HEADER_INCHES, BAR_INCHES = 14.0, 4.0, 1.6, 0.2
"""Of the plot; a bar's has the gap to the next."""

SMALL: Mapping[str, Any] = {"fontsize": 7, "parse_math": False}
"""Of names of classes in the plot, in which `$` begins no formula."""

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
    is_coco_stuff = len(classes) == 171 and COCO_STUFF_LANDMARKS.items() <= set(enumerate(classes))
    return CARD if model == CARD["model"] or is_coco_stuff else None


@dataclass(frozen=True)
class Evaluation:
    """How a model did on a dataset.

    Attributes:
        model, data: names of the model and of the dataset.
        pictures: how many images were counted.
        classes: names of the classes by id.
        counts: `(K, K)` int64, pixels by true and predicted class.
        seconds: how long this run took; images that an earlier run had counted took no time.
        settings: what else the result may depend on, such as `device` and `torch_dtype`.
        published: what the model's card says, see `CARD`; None of other models.
        excluded: ids of classes that were not counted and have no metrics.
    """

    model: str
    data: str
    pictures: int
    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    seconds: float = 0.0
    settings: Mapping[str, str] = field(default_factory=dict)
    published: Mapping[str, Any] | None = None
    excluded: tuple[int, ...] = ()

    @cached_property
    def metrics(self) -> Metrics:
        """aAcc, mIoU, mAcc, and IoU and accuracy by class; shares from 0 to 1."""
        return metrics(self.counts, self.excluded)

    @property
    def figures(self) -> Metrics:
        """The same as `metrics`, under its earlier name."""
        return self.metrics

    def as_dict(self) -> dict[str, Any]:
        """What `write_json` writes: shares from 0 to 1, None in place of NaN."""
        found, names, pixels = self.metrics, self.classes, self.counts.sum(axis=1).tolist()
        columns = zip(names, found.IoU, found.Acc, pixels, strict=True)
        return {
            "model": self.model,
            "data": self.data,
            "pictures": self.pictures,
            "seconds": round(self.seconds, 1),
            "package": f"modelscope-vitadapter {__version__}",
            "settings": dict(self.settings),
            "excluded": [names[one] for one in self.excluded if one < len(names)],
            **{name: _number(getattr(found, name)) for name in MEANS},
            "published": None if self.published is None else dict(self.published),
            "classes": [
                {"id": k, "name": name, "IoU": _number(iou), "Acc": _number(acc), "pixels": count}
                for k, (name, iou, acc, count) in enumerate(columns)
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
    """Lines of text with classes, worst confusions and means; percent, `-` where there is none."""
    content, card = evaluation.as_dict(), evaluation.published
    classes = [
        (one["name"], _percent(one["IoU"]), _percent(one["Acc"]), str(one["pixels"]))
        for one in content["classes"]
    ]
    blocks = [_aligned([("class", "IoU", "Acc", "pixels"), *classes])]
    confusions = [
        (f"{one['class']} taken for {one['taken_for']}", _percent(one["share"]), str(one["pixels"]))
        for one in content["worst_confusions"][:TABLE_CONFUSIONS]
    ]
    if confusions:
        blocks.append(_aligned([("worst confusions", "of class", "pixels"), *confusions]))
    means = [["percent", "measured"], *([name, _percent(content[name])] for name in MEANS)]
    summary = [
        f"model     {evaluation.model}",
        f"data      {evaluation.data}, {evaluation.pictures} images",
    ]
    if card is None:
        summary.append(_aligned(means))
    else:
        published = ["model card", *(_percent(card[name]) for name in MEANS)]
        means = [[*row, cell] for row, cell in zip(means, published, strict=True)]
        summary += [_aligned(means), f"The card's metrics are of {card['data']}."]
    return "\n\n".join([*blocks, "\n".join(summary)])


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


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
    """Places that a text takes on a terminal, where East Asian wide letters take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "FW" else 1 for letter in text)


def write_plot(evaluation: Evaluation, path: str | os.PathLike[str]) -> None:
    """Draws IoU by class, highest first, beside the worst confusions.

    The file's suffix says the format, `.png`, `.svg`, `.pdf` ...; ValueError for an unknown one.
    """
    import matplotlib
    from matplotlib.figure import Figure

    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    families = plot_families(evaluation.classes)
    height = max(MIN_INCHES, HEADER_INCHES + BAR_INCHES * len(evaluation.classes))
    with matplotlib.rc_context({"font.family": families}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a letter that no font has is a box
        # Not by pyplot: no window and no global backend is touched.
        figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw_classes(left, evaluation)
        _draw_confusions(right, evaluation)
        figure.savefig(target)


def _draw_classes(axes: Any, evaluation: Evaluation) -> None:
    found = evaluation.metrics
    known = np.flatnonzero(~np.isnan(found.IoU))
    order = known[np.argsort(found.IoU[known], kind="stable")]  # drawn from the bottom up
    axes.barh(range(len(order)), 100 * found.IoU[order], color="tab:blue")
    axes.set_yticks(range(len(order)), [evaluation.classes[k] for k in order], **SMALL)
    axes.axvline(100 * found.mIoU, color="black", linewidth=1, linestyle="--")
    axes.set_xlim(0, 100)
    axes.set_ylim(-0.6, max(len(order), 1) - 0.4)
    axes.set_xlabel("IoU of the class, percent")
    means = "   ".join(f"{name} {100 * getattr(found, name):.2f}" for name in MEANS)
    title = f"{means}\n{evaluation.data}, {evaluation.pictures} images"
    axes.set_title(title, fontsize=9, parse_math=False)


def _draw_confusions(axes: Any, evaluation: Evaluation) -> None:
    classes, worst = evaluation.classes, worst_confusions(evaluation.counts)[::-1]
    total = max(int(evaluation.counts.sum()), 1)
    names = [f"{classes[one.truth]} taken for {classes[one.prediction]}" for one in worst]
    lengths = [100 * one.pixels / total for one in worst]
    bars = axes.barh(range(len(worst)), lengths, 0.6, color="tab:red")
    axes.bar_label(bars, [f" {100 * one.share:.1f} % of class" for one in worst], fontsize=7)
    axes.set_yticks(range(len(worst)), names, **SMALL)
    axes.set_ylim(-0.6, max(len(worst), 1) - 0.4)
    axes.margins(x=0.25)
    axes.set_xlabel("percent of all labelled pixels")
    axes.set_title("Worst confusions: true class, taken for another", fontsize=9)
