"""An evaluation as a plot: IoU by class, and the worst confusions."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelscope_vitadapter.evaluation.confusion import worst_confusions
from modelscope_vitadapter.evaluation.result import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CONFUSIONS = 20
"""Confusions that the plot shows."""

WIDTH_INCHES, MIN_INCHES, HEADER_INCHES = 14.0, 4.0, 1.6

BAR_INCHES = 0.2
"""Height of a class's bar with the gap to the next."""

SMALL: dict[str, Any] = {"fontsize": 7, "parse_math": False}
"""Of names of classes, in which `$` begins no formula."""

CHINESE_FONTS = ("Noto Sans CJK SC", "Microsoft YaHei", "PingFang SC", "WenQuanYi Micro Hei")
"""Fonts with Chinese letters of the usual systems; those that are there are used."""


def write_plot(evaluation: Evaluation, path: str | os.PathLike[str]) -> None:
    """Draws IoU by class, highest first, beside the worst confusions.

    Args:
        evaluation: what to draw.
        path: file to write, in the format that its suffix says: `.png`, `.svg`, `.pdf` ...

    Raises:
        ValueError: matplotlib knows no such format.
        OSError: the file can't be written.
    """
    import matplotlib
    from matplotlib import font_manager
    from matplotlib.figure import Figure

    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    there = {font.name for font in font_manager.fontManager.ttflist}
    families = ["DejaVu Sans", *(name for name in CHINESE_FONTS if name in there)]
    height = max(MIN_INCHES, HEADER_INCHES + BAR_INCHES * len(evaluation.classes))
    with matplotlib.rc_context({"font.family": families}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a letter that no font has is a box
        # Not by pyplot: no window and no global backend is touched.
        figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw_classes(left, evaluation)
        _draw_confusions(right, evaluation)
        figure.savefig(target)


def _draw_classes(axes: Axes, evaluation: Evaluation) -> None:
    found = evaluation.metrics
    known = np.flatnonzero(~np.isnan(found.IoU))
    order = known[np.argsort(found.IoU[known], kind="stable")]  # drawn from the bottom up
    axes.barh(range(len(order)), 100 * found.IoU[order], color="tab:blue")
    axes.set_yticks(range(len(order)), [evaluation.classes[k] for k in order], **SMALL)
    axes.axvline(100 * found.mIoU, color="black", linewidth=1, linestyle="--")
    axes.set_xlim(0, 100)
    axes.set_ylim(-0.6, max(len(order), 1) - 0.4)
    axes.set_xlabel("IoU of the class, percent")
    axes.set_title(
        f"mIoU {100 * found.mIoU:.2f}   mAcc {100 * found.mAcc:.2f}   aAcc {100 * found.aAcc:.2f}"
        f"\n{evaluation.data}, {evaluation.pictures} images",
        fontsize=9,
        parse_math=False,
    )


def _draw_confusions(axes: Axes, evaluation: Evaluation) -> None:
    worst = worst_confusions(evaluation.counts, CONFUSIONS)[::-1]
    total = max(int(evaluation.counts.sum()), 1)
    names = [
        f"{evaluation.classes[one.truth]} taken for {evaluation.classes[one.prediction]}"
        for one in worst
    ]
    bars = axes.barh(
        range(len(worst)), [100 * one.pixels / total for one in worst], 0.6, color="tab:red"
    )
    axes.bar_label(bars, [f" {100 * one.share:.1f} % of class" for one in worst], fontsize=7)
    axes.set_yticks(range(len(worst)), names, **SMALL)
    axes.set_ylim(-0.6, max(len(worst), 1) - 0.4)
    axes.margins(x=0.25)
    axes.set_xlabel("percent of all labelled pixels")
    axes.set_title("Worst confusions: true class, taken for another", fontsize=9)
