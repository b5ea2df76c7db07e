"""Where each class is in an image, as runs of pixels: what run-length codes are made of."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""`(left, top, width, height)` in pixels."""


@dataclass(frozen=True)
class ClassRuns:
    """The pixels of a class: in row `row[i]` those from `start[i]` up to, not including, `stop[i]`.

    Runs are in the order of reading.
    """

    class_id: int
    row: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]

    @property
    def area(self) -> int:
        """In pixels."""
        return int((self.stop - self.start).sum())

    @property
    def box(self) -> Box:
        """The smallest box around the pixels."""
        left, top = int(self.start.min()), int(self.row[0])
        return left, top, int(self.stop.max()) - left, int(self.row[-1]) - top + 1

    def counts(self, box: Box) -> NDArray[np.int64]:
        """Run lengths of a box that holds all pixels, row by row: not the class, the class, ..."""
        left, top, width, height = box
        start = (self.row - top) * width + self.start - left
        stop = start + self.stop - self.start
        apart = start[1:] != stop[:-1]  # others go on in the next row
        places = np.stack([start[np.r_[True, apart]], stop[np.r_[apart, True]]], axis=1).ravel()
        counts: NDArray[np.int64] = np.diff(places, prepend=0, append=width * height)
        return counts[:-1] if counts[-1] == 0 else counts


def class_runs(class_map: NDArray[np.integer[Any]]) -> Iterator[ClassRuns]:
    """The runs of each class in a class map `(H, W)`, by ascending id; pixels of -1 have none."""
    width = class_map.shape[1]
    begins = np.ones(class_map.shape, bool)
    np.not_equal(class_map[:, 1:], class_map[:, :-1], out=begins[:, 1:])
    places = np.flatnonzero(begins)
    row, start = np.divmod(places, width)
    stop = np.append(places[1:], class_map.size) - row * width
    ids = class_map[row, start]
    order = np.argsort(ids, kind="stable")
    found, first = np.unique(ids[order], return_index=True)
    for class_id, part in zip(found.tolist(), np.split(order, first[1:]), strict=True):
        if class_id >= 0:
            yield ClassRuns(class_id, row[part], start[part], stop[part])
