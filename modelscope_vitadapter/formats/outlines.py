"""Outlines of the regions of a class map, along the edges of pixels.

Corners are whole numbers: (0, 0) is the outer corner of the first pixel. Filled by pixel centres,
as `datasets.polygons` does it, outlines give the class map again, exactly.

An outline is followed with its region on the right. Where it changes direction, it has a corner;
which corners there are is seen at each crossing of the grid from the four pixels around it, and a
corner's follower is the next one along the same line. So no pixel's edge is walked.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

UP, RIGHT, DOWN, LEFT = 1, 2, 4, 8
"""Directions; also, which edges that meet at a crossing lie between pixels of different classes."""

CONVEX = (
    (RIGHT | DOWN, (1, 1), UP, RIGHT),
    (DOWN | LEFT, (1, 0), RIGHT, DOWN),
    (LEFT | UP, (0, 0), DOWN, LEFT),
    (UP | RIGHT, (0, 1), LEFT, UP),
)
"""Corners of one pixel: edges that must be there, which of the four (row, column) the pixel is, and
the directions in which its outline comes and goes."""

CONCAVE = (
    (UP | LEFT, (1, 1), RIGHT, UP),
    (UP | RIGHT, (1, 0), DOWN, RIGHT),
    (RIGHT | DOWN, (0, 0), LEFT, DOWN),
    (DOWN | LEFT, (0, 1), UP, LEFT),
)
"""Corners of three pixels around another: the only edges, one of the three, and directions."""


class Outline(NamedTuple):
    """A region: pixels of one class that hang together by their edges."""

    class_id: int
    ring: Ints  # `(N, 2)` corners `(x, y)`, clockwise; the first is not repeated at the end


class _Corners(NamedTuple):
    """Corners of all outlines."""

    x: Ints
    y: Ints
    comes: Ints
    goes: Ints
    class_id: Ints


def outlines(class_map: NDArray[np.integer[Any]], tolerance: float = 0.0) -> list[Outline]:
    """The outline of each region in a class map `(H, W)`; pixels of -1 are in none.

    A hole is joined to what is around it by a cut along a row, which the outline passes once each
    way. As a cut has no area, even-odd and non-zero filling give the same.

    Args:
        class_map: ids of classes.
        tolerance: how far, in pixels, an outline may be off for fewer corners; regions may then
            overlap, or leave gaps. 0 is exact.
    """
    crossings, kinds = _crossings(class_map)
    corners = _corners(class_map, crossings, kinds)
    if not len(corners.x):
        return []
    following = _following(corners)
    corners, following = _join_holes(corners, following, crossings, class_map.shape[1])
    order, starts = _loops(following)
    ids = corners.class_id[order[starts]].tolist()
    points, starts = _without_straight(np.stack([corners.x, corners.y], axis=1)[order], starts)
    found = map(Outline, ids, np.split(points, starts[1:]))
    return [Outline(one.class_id, _simplified(one.ring, tolerance)) for one in found]


def _crossings(class_map: NDArray[np.integer[Any]]) -> tuple[Ints, NDArray[np.uint8]]:
    """Crossings of the grid `(H + 1, W + 1)` with an edge, by their flat index, and those edges."""
    padded = np.pad(class_map.astype(np.int32), 1, constant_values=-2)
    beside = padded[:, 1:] != padded[:, :-1]
    below = padded[1:] != padded[:-1]
    edges = beside[:-1].astype(np.uint8)  # UP
    edges |= below[:, 1:].view(np.uint8) << 1
    edges |= beside[1:].view(np.uint8) << 2
    edges |= below[:, :-1].view(np.uint8) << 3
    crossings = np.flatnonzero(edges)
    return crossings, edges.ravel()[crossings]


def _corners(
    class_map: NDArray[np.integer[Any]], crossings: Ints, kinds: NDArray[np.uint8]
) -> _Corners:
    """The corners of regions that have a class."""
    padded = np.pad(class_map.astype(np.int32), 1, constant_values=-2)
    parts = []
    for number, (edges, pixel, comes, goes) in enumerate(CONVEX + CONCAVE):
        fits = kinds & edges == edges if number < len(CONVEX) else kinds == edges
        y, x = np.divmod(crossings[fits], class_map.shape[1] + 1)
        ids = padded[y + pixel[0], x + pixel[1]]
        known = ids >= 0
        size = np.count_nonzero(known)
        parts.append((x[known], y[known], np.full(size, comes), np.full(size, goes), ids[known]))
    return _Corners(*(np.concatenate(one) for one in zip(*parts, strict=True)))


def _along(corners: _Corners, which: NDArray[np.bool_], direction: int) -> Ints:
    """Some corners in the order of the lines in a direction, and of their place in the line."""
    some = np.flatnonzero(which)
    x, y = corners.x[some], corners.y[some]
    return some[np.lexsort((y, x) if direction in (UP, DOWN) else (x, y))]


def _following(corners: _Corners) -> Ints:
    """The corner after each one in its outline.

    Along a line, parts of outlines of one direction don't overlap: the first that goes in that
    direction leads to the first that comes from it, the second to the second.
    """
    following = np.empty(len(corners.x), np.int64)
    for direction in (UP, RIGHT, DOWN, LEFT):
        starts = _along(corners, corners.goes == direction, direction)
        following[starts] = _along(corners, corners.comes == direction, direction)
    return following


def _loops(following: Ints) -> tuple[Ints, Ints]:
    """All corners in the order of outlines, and where each outline starts."""
    after, seen = following.tolist(), bytearray(len(following))
    order: list[int] = []
    starts = []
    for corner in range(len(after)):
        if not seen[corner]:
            starts.append(len(order))
        while not seen[corner]:
            seen[corner] = 1
            order.append(corner)
            corner = after[corner]
    return np.array(order, np.int64), np.array(starts, np.int64)


def _join_holes(
    corners: _Corners, following: Ints, crossings: Ints, width: int
) -> tuple[_Corners, Ints]:
    """Puts a cut from each hole to the left, where it meets a part of an outline that goes up.

    It begins at the hole's first corner in the order of reading, so that cuts never meet in a
    circle.
    """
    order, starts = _loops(following)
    x, y = corners.x, corners.y
    areas = np.add.reduceat((x * y[following] - x[following] * y)[order], starts)
    place = y * (width + 1) + x
    first = np.minimum.reduceat(place[order], starts)[areas < 0]
    if not len(first):
        return corners, following
    candidates = _along(corners, (corners.comes == LEFT) & (corners.goes == DOWN), LEFT)
    hole = candidates[np.searchsorted(place[candidates], first)]
    row, column = np.divmod(crossings[np.searchsorted(crossings, first) - 1], width + 1)

    lower, upper = (_along(corners, one == UP, UP) for one in (corners.goes, corners.comes))
    height = int(y.max()) + 1
    part = np.searchsorted(x[upper] * height + y[upper], column * height + row, side="right") - 1
    travel = np.lexsort((-row, part))  # several cuts may meet one part
    hole, row, column, part = hole[travel], row[travel], column[travel], part[travel]

    there = len(x) + np.arange(len(hole))
    back = there + len(hole)
    before = np.argsort(following)[hole]
    joined = np.concatenate([following, hole, upper[part]])
    joined[before] = back
    again = part[1:] == part[:-1]
    starts_part = np.r_[True, ~again]
    joined[lower[part[starts_part]]] = there[starts_part]
    joined[back[:-1][again]] = there[1:][again]
    none = np.zeros(2 * len(hole), np.int64)
    places = (np.tile(column, 2), np.tile(row, 2), none, none, none)
    return _Corners(*map(np.append, corners, places)), joined


def _without_straight(points: Ints, starts: Ints) -> tuple[Ints, Ints]:
    """Corners without those that are there twice in turn, then those at which none turns."""
    for straight in (False, True):
        ends = np.append(starts[1:], len(points)) - 1
        after, before = np.arange(len(points)) + 1, np.arange(len(points)) - 1
        after[ends], before[starts] = starts, ends
        goes = points[after] - points
        if straight:
            keep = (np.sign(goes) != np.sign(points - points[before])).any(axis=1)
        else:
            keep = goes.any(axis=1)
        starts = (np.cumsum(keep) - keep)[starts]
        points = points[keep]
    return points, starts


def _simplified(ring: Ints, tolerance: float) -> Ints:
    if tolerance <= 0:
        return ring
    fewer = cv2.approxPolyDP(ring.astype(np.int32), tolerance, closed=True)[:, 0].astype(np.int64)
    return fewer if len(fewer) >= 3 else ring
