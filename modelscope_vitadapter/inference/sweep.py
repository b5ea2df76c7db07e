"""The order in which a picture is worked on: strip by strip, along the axis with more windows.

Only the windows that reach into the current strip are held, however many there are. Where a picture
has more windows side by side than below each other, rows and columns change place throughout, so
that strips always are rows. Rows and sizes here are those of the sweep.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from modelscope_vitadapter.config.settings import WindowSettings
from modelscope_vitadapter.inference.resampling import Taps, bilinear_taps
from modelscope_vitadapter.inference.windows import Size, Window, windows_of

MAX_STRIP_PIXELS = 2**20
"""Pixels of the picture in a strip: bounds what is held for each pixel, whatever the classes."""


@dataclass(frozen=True)
class Layer:
    """One augmentation of the picture: an input `size` and how it becomes the upright picture.

    `rows` and `columns` are the taps of each row and column of the picture in the input; they turn
    flips back as well.
    """

    size: Size
    windows: list[Window]
    rows: Taps
    columns: Taps


@dataclass(frozen=True)
class Strip:
    """Some rows of the picture, and for each layer the rows of its input that they are made of."""

    rows: range
    spans: list[range]


@dataclass(frozen=True)
class Task:
    """A window to be run: of which layer, before which strip, and after which it can go."""

    layer: int
    window: Window
    first_strip: int
    last_strip: int


@dataclass(frozen=True)
class Sweep:
    """What is to be done for one picture.

    `tasks` are sorted by the strip that they are first needed for; a window that no pixel of the
    picture is made of has none. `size` is the picture's.
    """

    transposed: bool
    size: Size
    layers: list[Layer]
    strips: list[Strip]
    tasks: list[Task]


def plan_sweep(
    inputs: Sequence[Size],
    flips: Sequence[str | None],
    size: Size,
    windows: WindowSettings,
    *,
    num_classes: int,
    align_corners: bool,
    strip_bytes: int,
    device: torch.device | None = None,
) -> Sweep:
    """Plans the work for one picture.

    Args:
        inputs: `(height, width)` of each augmentation's input.
        flips: how each input was flipped: None, `horizontal` or `vertical`.
        size: `(height, width)` of the picture.
        windows: how inputs are cut.
        num_classes: K, for the size of strips.
        align_corners: as in `torch.nn.functional.interpolate`.
        strip_bytes: memory that the scores of one strip may take.
        device: where taps are held.
    """
    crop = windows.crop_size if windows.mode == "slide" else None
    plans = [windows_of(one, crop, windows.stride) for one in inputs]
    down = sum(len({window.top for window in plan}) for plan in plans)
    across = sum(len({window.left for window in plan}) for plan in plans)
    transposed = across > down
    along = "vertical"
    if transposed:
        plans = [[window.transposed() for window in plan] for plan in plans]
        inputs, size, along = [(w, h) for h, w in inputs], (size[1], size[0]), "horizontal"
    layers = [
        Layer(
            size=one,
            windows=plan,
            rows=_axis(one[0], size[0], flip == along, align_corners, device),
            columns=_axis(one[1], size[1], flip not in (None, along), align_corners, device),
        )
        for one, plan, flip in zip(inputs, plans, flips, strict=True)
    ]
    row_bytes = sum(4 * num_classes * one[0] * one[1] for one in inputs) / size[0]
    height = int(min(strip_bytes / row_bytes, MAX_STRIP_PIXELS / size[1]))
    strips = _strips(size[0], max(height, 1), layers)
    return Sweep(transposed, size, layers, strips, _tasks(layers, strips))


def _axis(
    source: int, target: int, flipped: bool, align_corners: bool, device: torch.device | None
) -> Taps:
    positions = torch.arange(target, device=device)
    positions = positions.flip(0) if flipped else positions
    return bilinear_taps(positions, source, target, align_corners=align_corners)


def _strips(length: int, height: int, layers: Sequence[Layer]) -> list[Strip]:
    ends = [(layer.rows.low.tolist(), layer.rows.high.tolist()) for layer in layers]
    strips = []
    for start in range(0, length, height):
        rows = range(start, min(start + height, length))
        edges = (rows[0], rows[-1])  # the taps of a flipped layer run backwards
        spans = [
            range(min(low[i] for i in edges), max(high[i] for i in edges) + 1) for low, high in ends
        ]
        strips.append(Strip(rows, spans))
    return strips


def _tasks(layers: Sequence[Layer], strips: Sequence[Strip]) -> list[Task]:
    tasks = []
    for number, layer in enumerate(layers):
        for window in layer.windows:
            users = [i for i, strip in enumerate(strips) if reaches(window, strip.spans[number])]
            if users:
                tasks.append(Task(number, window, users[0], users[-1]))
    return sorted(tasks, key=lambda task: task.first_strip)


def reaches(window: Window, rows: range) -> bool:
    """Whether a window holds any of these rows of its input."""
    return window.top < rows.stop and rows.start < window.top + window.height
