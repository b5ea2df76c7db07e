"""Label maps that are drawn when they are asked for, from polygons and other regions in a file.

Coordinates are `(x, y)` in pixels of the upright image: (0, 0) is the outer corner of the first
pixel, (0.5, 0.5) its centre. A pixel is a region's where its centre lies in it, so that regions
that share a border share no pixel; OpenCV's `fillPoly` adds the border to both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.datasets.label_ids import IGNORED, USUAL_IGNORED
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.images.limits import MAX_PIXELS
from modelscope_vitadapter.validation import shown

MAX_COORDINATE = 2**20
"""Pixels, either way from the corner, beyond which a number can't be a place in an image."""

MAX_RISE = 2**24
"""Pixels that an outline goes up and down in all at most: as many numbers are held to draw it."""

Size = tuple[int, int]
"""`(height, width)`."""

Ring = NDArray[np.float64]
"""A closed outline, `(N, 2)` corners `(x, y)`; the first is not repeated at the end."""

Painted = tuple[int, int, NDArray[np.bool_]]
"""Row and column of the first pixel in the image, and which pixels from there on, `(H, W)`."""


@dataclass(frozen=True)
class Region:
    """A part of an image that has one class."""

    class_id: int  # `IGNORED` where pixels are not counted
    area: float  # in pixels; smaller ones are drawn later
    paint: Callable[[Size], Painted]  # its pixels in an image of this size
    order: int = 0  # what has a higher one is drawn later, whatever its area


@dataclass(frozen=True)
class DrawnRegions:
    """`layout.DrawnLabels` of regions. Pixels that no region covers get id 0.

    The largest region is drawn first, so that small ones on it stay visible. Ids are uint8, with
    255 for what is not counted; with more than 255 classes uint16, with 65535.
    """

    identity: str
    num_classes: int
    load: Callable[[], tuple[Size, Sequence[Region]]]
    """The image's size and regions, read now; DataSetError where they can't be."""

    def ids(self) -> NDArray[np.integer[Any]]:
        """See `layout.DrawnLabels`."""
        size, regions = self.load()
        few = self.num_classes <= USUAL_IGNORED[0]
        ids: NDArray[np.integer[Any]] = np.zeros(size, np.uint8 if few else np.uint16)
        ignored = USUAL_IGNORED[0 if few else 1]
        for region in sorted(regions, key=lambda one: (one.order, -one.area)):
            top, left, pixels = region.paint(size)
            part = ids[top : top + pixels.shape[0], left : left + pixels.shape[1]]
            part[pixels] = ignored if region.class_id == IGNORED else region.class_id
        return ids


def checked_size(height: object, width: object, what: str) -> Size:
    """A size that a file gives; DataSetError unless it is of an image that can be read."""
    for value in (height, width):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            text = f"height {shown(height)} and width {shown(width)}"
            raise DataSetError(f"{what} has {text}; expected whole numbers of at least 1")
    assert isinstance(height, int) and isinstance(width, int)
    if height * width > MAX_PIXELS:
        raise DataSetError(
            f"{what} has height {shown(height)} and width {shown(width)}; expected at most "
            f"{MAX_PIXELS} pixels"
        )
    return height, width


def ring_of(value: object, what: str) -> Ring:
    """The corners in `[[x, y], ...]` or `[x, y, x, y, ...]`; DataSetError for anything else."""
    try:
        points: NDArray[Any] = np.asarray(value)
    except (ValueError, OverflowError):
        points = np.empty(0, object)
    flat = points.ndim == 1 and points.size % 2 == 0
    if points.size and points.dtype.kind in "iuf" and (flat or points.shape[1:] == (2,)):
        points = points.reshape(-1, 2).astype(np.float64)
        usual = (np.abs(points) <= MAX_COORDINATE).all()  # not so for NaN
        if usual and np.abs(np.diff(points[:, 1])).sum() <= MAX_RISE:
            return points
    elif points.size == 0 and isinstance(value, list) and not value:
        return np.empty((0, 2))
    raise DataSetError(
        f"{what} has no outline that can be drawn: expected a list of x and y in turn, or of "
        f"[x, y], finite numbers of pixels within {MAX_COORDINATE}"
    )


def rectangle(left: float, top: float, right: float, bottom: float) -> Ring:
    """The outline of a rectangle."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float64)


def polygons(
    class_id: int, rings: Sequence[Ring], holes: Sequence[Ring] = (), order: int = 0
) -> Region:
    """All that lies in any of some outlines, but not in one of the holes."""
    area = sum(map(_area, rings)) - sum(map(_area, holes))
    return Region(class_id, area, partial(_paint_rings, tuple(rings), tuple(holes)), order)


def bitmap(class_id: int, left: int, top: int, pixels: NDArray[np.bool_], order: int = 0) -> Region:
    """The pixels `(H, W)` from a place on; what lies outside the image is cut."""
    area = int(np.count_nonzero(pixels))
    return Region(class_id, area, partial(_paint_bitmap, left, top, pixels), order)


def decode_runs(counts: object, size: Size, what: str) -> NDArray[np.bool_]:
    """Run lengths, row by row and the first of background, as pixels of a size `(H, W)`.

    Raises:
        DataSetError: these are no whole numbers, or don't make up the size.
    """
    try:
        runs: NDArray[Any] = np.asarray(counts)
    except (ValueError, OverflowError):
        runs = np.empty(0)
    whole = runs.ndim == 1 and runs.dtype.kind in "iu" and (runs >= 0).all()
    # Each alone may be no more than the whole, or else their sum could run over.
    if not whole or runs.max() > size[0] * size[1] or int(runs.sum()) != size[0] * size[1]:
        raise DataSetError(
            f"{what} has run lengths that don't fit: expected whole numbers that make up "
            f"{size[0]} x {size[1]} pixels"
        )
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size)


def decode_compressed(counts: str, size: Size, what: str) -> NDArray[np.bool_]:
    """COCO's compressed run lengths as pixels of a size `(H, W)`.

    Raises:
        DataSetError: pycocotools is missing, or can't read them.
    """
    try:
        from pycocotools import mask
    except ImportError as error:
        raise DataSetError(
            f"{what} has compressed run lengths, which pycocotools reads: "
            "`pip install modelscope-vitadapter[coco]`"
        ) from error
    try:
        pixels: NDArray[np.uint8] = mask.decode({"size": list(size), "counts": counts.encode()})
    except Exception as error:  # what it raises is not documented
        raise DataSetError(f"{what} has run lengths that can't be read ({error})") from error
    return pixels.astype(bool)


def _area(ring: Ring) -> float:
    x, y = ring.T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def _paint_bitmap(left: int, top: int, pixels: NDArray[np.bool_], size: Size) -> Painted:
    inside = pixels[max(-top, 0) : max(size[0] - top, 0), max(-left, 0) : max(size[1] - left, 0)]
    return max(top, 0), max(left, 0), inside


def _paint_rings(rings: tuple[Ring, ...], holes: tuple[Ring, ...], size: Size) -> Painted:
    rings = tuple(one for one in rings if len(one))
    if not rings:
        return 0, 0, np.zeros((0, 0), bool)
    corners = np.concatenate(rings)
    # The first pixel whose centre is not left of, or above, a place.
    left, top = np.clip(np.ceil(corners.min(0) - 0.5).astype(int), 0, size[::-1])
    right, bottom = np.clip(np.ceil(corners.max(0) - 0.5).astype(int), 0, size[::-1])
    pixels = np.zeros((bottom - top, right - left), bool)
    for ring in rings:
        pixels |= _fill(ring - (left, top), pixels.shape)
    for hole in holes:
        pixels &= ~_fill(hole - (left, top), pixels.shape)
    return int(top), int(left), pixels


def _fill(ring: Ring, size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which pixels' centres lie in an outline, by the even-odd rule.

    Where an edge passes a row of centres, what follows in the row changes sides. Each row is passed
    an even number of times, so that these places, in order, are run lengths of the whole.
    """
    height, width = size
    (x0, y0), (x1, y1) = ring.T, np.roll(ring, -1, axis=0).T
    start = np.clip(np.ceil(np.minimum(y0, y1) - 0.5).astype(int), 0, height)
    count = np.clip(np.ceil(np.maximum(y0, y1) - 0.5).astype(int), 0, height) - start
    edge = np.repeat(np.arange(len(count)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count - start, count)
    slope = (x1 - x0)[edge] / (y1 - y0)[edge]  # an edge along a row passes none
    x = x0[edge] + (row + 0.5 - y0[edge]) * slope
    places = np.sort(row * width + np.clip(np.ceil(x - 0.5).astype(int), 0, width))
    runs = np.diff(places, prepend=0, append=height * width)
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
