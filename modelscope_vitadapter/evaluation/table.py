"""An evaluation as a table for the terminal."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

from modelscope_vitadapter.evaluation.confusion import worst_confusions
from modelscope_vitadapter.evaluation.result import Evaluation

CONFUSIONS = 5
"""Confusions that the table shows."""

WIDE = ("F", "W")
"""East Asian widths of letters that take two places."""


def format_table(evaluation: Evaluation) -> str:
    """Classes with IoU, accuracy and labelled pixels, worst confusions, and the figures.

    Returns:
        Lines of text; figures in percent, `-` where a class has none.
    """
    blocks = [_class_table(evaluation), _confusion_table(evaluation), _summary(evaluation)]
    return "\n\n".join(block for block in blocks if block)


def _class_table(evaluation: Evaluation) -> str:
    labelled = evaluation.counts.sum(axis=1)
    found = evaluation.figures
    rows = [
        (name, _percent(found.IoU[k]), _percent(found.Acc[k]), str(labelled[k]))
        for k, name in enumerate(evaluation.classes)
    ]
    return _aligned([("class", "IoU", "Acc", "pixels"), *rows])


def _confusion_table(evaluation: Evaluation) -> str:
    worst = worst_confusions(evaluation.counts, CONFUSIONS)
    if not worst:
        return ""
    names = evaluation.classes
    rows = [
        (
            f"{names[one.truth]} taken for {names[one.prediction]}",
            _percent(one.share),
            str(one.pixels),
        )
        for one in worst
    ]
    return _aligned([("worst confusions", "of class", "pixels"), *rows])


def _summary(evaluation: Evaluation) -> str:
    found, card = evaluation.figures, evaluation.published
    names = ("aAcc", "mIoU", "mAcc")
    rows: list[tuple[str, ...]] = [("percent", "measured"), *_measured(names, found)]
    if card is not None:
        published = ("model card", *(_percent(getattr(card, name)) for name in names))
        rows = [(*row, value) for row, value in zip(rows, published, strict=True)]
    lines = [
        f"model     {evaluation.model}",
        f"data      {evaluation.data}, {evaluation.pictures} pictures",
        _aligned(rows),
    ]
    if card is not None:
        lines.append(f"The card's figures are of {card.data}.")
    return "\n".join(lines)


def _measured(names: Sequence[str], found: object) -> list[tuple[str, ...]]:
    return [(name, _percent(getattr(found, name))) for name in names]


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.2f}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows of cells in columns; the first is flush left, the others right."""
    widths = [max(_width(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0] + " " * (widths[0] - _width(row[0]))]
        cells += [
            " " * (width - _width(cell)) + cell
            for cell, width in zip(row[1:], widths[1:], strict=True)
        ]
        lines.append("  ".join(cells))
    return "\n".join(lines)


def _width(text: str) -> int:
    """Places that a text takes on a terminal."""
    return sum(2 if unicodedata.east_asian_width(letter) in WIDE else 1 for letter in text)
