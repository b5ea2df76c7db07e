"""Sliding windows: an image of any size through a network that sees one crop at a time.

An image is decided strip by strip, along the axis with more windows: only the windows that reach
into the current strip are held, however many there are. Where an image has more windows side by
side than below each other, rows and columns change place throughout, so that strips always are
rows. Rows and sizes of a plan are those after that exchange.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from modelscope_vitadapter.config.settings import Size, WindowSettings
from modelscope_vitadapter.images.transforms import NetworkInput
from modelscope_vitadapter.inference.interpolation import (
    InterpolationWeights,
    interpolation_weights,
)

MAX_STRIP_PIXELS = 2**20
"""Pixels of the image in a strip: bounds what is held for each pixel, whatever the classes."""


@dataclass(frozen=True)
class Window:
    """One window of a view, in pixels; `image_rows` are the image's rows that are made of it."""

    view: int
    top: int
    left: int
    height: int
    width: int
    image_rows: range

    @property
    def bottom(self) -> int:
        """The row below the window's last one."""
        return self.top + self.height


@dataclass(frozen=True)
class ViewPlan:
    """How one view, of a `size`, becomes the upright image.

    `rows` and `columns` are the interpolation weights of each row and column of the image in the
    view; they turn flips back as well.
    """

    size: Size
    rows: InterpolationWeights
    columns: InterpolationWeights

    def rows_of(self, image_rows: range) -> range:
        """The rows of the view that some consecutive rows of the image are made of."""
        part = slice(image_rows.start, image_rows.stop)
        return range(int(self.rows.low[part].min()), int(self.rows.high[part].max()) + 1)


@dataclass(frozen=True)
class ImagePlan:
    """What is to be done for one image.

    `windows` are in the order in which strips need them; a window that no pixel of the image is
    made of is left out. `size` is the image's.
    """

    transposed: bool
    size: Size
    views: list[ViewPlan]
    windows: list[Window]
    strips: list[range]

    @property
    def is_enlarged(self) -> bool:
        """Whether the image has more pixels than its views together."""
        in_views = sum(view.size[0] * view.size[1] for view in self.views)
        return self.size[0] * self.size[1] > in_views

    def cut(self, window: Window, views: Sequence[Tensor]) -> Tensor:
        """A window `(3, h, w)` of the network's input, upright."""
        rows = slice(window.top, window.bottom)
        columns = slice(window.left, window.left + window.width)
        view = views[window.view]
        return view[:, columns, rows] if self.transposed else view[:, rows, columns]


def window_origins(length: int, crop: int, stride: int) -> list[int]:
    """Where windows of `crop` pixels begin along an axis of `length` pixels.

    The last one is pulled back inside; a view shorter than the crop has one window.
    """
    count = max(length - crop + stride - 1, 0) // stride + 1
    return [max(min(i * stride + crop, length) - crop, 0) for i in range(count)]


def plan_image(
    one: NetworkInput,
    windows: WindowSettings,
    *,
    num_classes: int,
    strip_bytes: int,
    may_transpose: bool = True,
) -> ImagePlan:
    """Plans the work for one image; in mode `whole` each view is one window.

    The scores of a strip, in `num_classes` classes, take `strip_bytes` at most. Without
    `may_transpose` strips are rows of the image as it is, and all windows side by side are held.
    """
    sizes = [(int(view.shape[-2]), int(view.shape[-1])) for view in one.views]
    crop, stride = windows.crop_size, windows.stride
    if windows.mode == "whole" or crop is None or stride is None:
        crop = stride = (max(h for h, _ in sizes), max(w for _, w in sizes))
    counts = [
        sum(len(window_origins(size[axis], crop[axis], stride[axis])) for size in sizes)
        for axis in (0, 1)
    ]
    size, along = one.image_size, "vertical"
    transposed = may_transpose and counts[1] > counts[0]
    if transposed:
        size, crop, stride = size[::-1], crop[::-1], stride[::-1]
        sizes, along = [(w, h) for h, w in sizes], "horizontal"
    device = one.views[0].device
    views = [
        ViewPlan(
            view_size,
            rows=_axis(view_size[0], size[0], flip == along, device),
            columns=_axis(view_size[1], size[1], flip not in (None, along), device),
        )
        for view_size, flip in zip(sizes, one.flips, strict=True)
    ]
    row_bytes = sum(4 * num_classes * h * w for h, w in sizes) / size[0]
    height = max(int(min(strip_bytes / row_bytes, MAX_STRIP_PIXELS / size[1])), 1)
    strips = [range(at, min(at + height, size[0])) for at in range(0, size[0], height)]
    found = [
        window
        for number, view in enumerate(views)
        for window in _windows_of(number, view, crop, stride)
    ]
    found.sort(key=lambda window: window.image_rows.start // height)
    return ImagePlan(transposed, size, views, found, strips)


def _axis(source: int, target: int, flipped: bool, device: torch.device) -> InterpolationWeights:
    positions = torch.arange(target, device=device)
    return interpolation_weights(positions.flip(0) if flipped else positions, source, target)


def _windows_of(number: int, view: ViewPlan, crop: Size, stride: Size) -> list[Window]:
    """The windows of a view that the image is made of, row by row."""
    height, width = min(crop[0], view.size[0]), min(crop[1], view.size[1])
    low, high = view.rows.low.cpu(), view.rows.high.cpu()
    windows = []
    for top in window_origins(view.size[0], crop[0], stride[0]):
        users = ((low < top + height) & (high >= top)).nonzero()[:, 0]
        if len(users):
            image_rows = range(int(users[0]), int(users[-1]) + 1)
            windows += [
                Window(number, top, left, height, width, image_rows)
                for left in window_origins(view.size[1], crop[1], stride[1])
            ]
    return windows
