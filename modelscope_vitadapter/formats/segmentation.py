"""A segmentation of an image, as formats write it and read it."""

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.datasets.label_ids import IGNORED
from modelscope_vitadapter.datasets.polygons import Region, Size
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.validation import listing, shown

Palette = tuple[tuple[int, int, int], ...]
"""`(R, G, B)`, 0 to 255, by class id."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The class of each pixel of an image.

    Attributes:
        class_map: `(H, W)` integers, -1 where a pixel has no class.
        classes: names by id.
        palette: a colour for each class; None where there are none.
        name: path of the image file below a folder, with `/` between folders: `street/1.jpg`.

    Raises:
        DataSetError: these don't fit together.
    """

    class_map: NDArray[np.integer[Any]]
    classes: tuple[str, ...]
    palette: Palette | None
    name: str

    def __post_init__(self) -> None:
        place = posixpath.normpath(self.name)
        if not self.name or place != self.name or re.match(r"\.\.?(/|$)|/|[A-Za-z]:|.*\\", place):
            raise DataSetError(
                f"an image is called {shown(self.name)}; expected a path below a folder, such as "
                "'street/1.jpg'"
            )
        found, count = self.class_map, len(self.classes)
        if found.ndim != 2 or found.size == 0 or found.dtype.kind not in "iu":
            raise DataSetError(
                f"the class map of {self.name!r} is an array of shape {found.shape}, "
                f"{found.dtype}; expected integers (H, W)"
            )
        lowest, highest = int(found.min()), int(found.max())
        if lowest < IGNORED or highest >= count:
            raise DataSetError(
                f"the class map of {self.name!r} has ids from {lowest} to {highest}; expected -1 "
                f"to {count - 1}, as there are {count} classes"
            )
        colours = np.asarray(() if self.palette is None else self.palette)
        usual = colours.shape == (count, 3) and ((colours >= 0) & (colours <= 255)).all()
        if self.palette is not None and not usual:
            raise DataSetError(
                f"there are {count} classes and the palette {shown(self.palette)}; expected red, "
                "green and blue of each class, from 0 to 255"
            )

    @property
    def size(self) -> Size:
        """`(height, width)`."""
        height, width = self.class_map.shape
        return height, width


def of_one_dataset(many: Iterable[Segmentation]) -> Iterator[Segmentation]:
    """The same images; DataSetError where one has other classes, or a name is there twice."""
    first, names = None, set[str]()
    for one in many:
        first = first or one
        if (one.classes, one.palette) != (first.classes, first.palette):
            raise DataSetError(
                f"{one.name!r} has other classes or colours than {first.name!r}; expected the same "
                "in all images of a file"
            )
        if one.name in names:
            raise DataSetError(f"two images are called {one.name!r}; expected different names")
        names.add(one.name)
        yield one


def check_distinct(classes: tuple[str, ...], what: str) -> None:
    """DataSetError where two classes have one name, in a format that tells them by it."""
    twice = sorted({one for one in classes if classes.count(one) > 1})
    if twice or not all(classes):
        names = listing([repr(one) for one in twice] or ["''"])
        raise DataSetError(
            f"{what} tells classes by their names, but there is more than one, or an empty one: "
            f"{names}; rename them, or choose another format"
        )


def no_classes(size: Size, count: int) -> NDArray[np.integer[Any]]:
    """A class map in which no pixel has a class yet, with room for so many classes."""
    return np.full(size, IGNORED, np.int16 if count <= 2**15 else np.int32)


def paint(class_map: NDArray[np.integer[Any]], region: Region) -> None:
    """Gives the pixels of a region its class."""
    height, width = class_map.shape
    top, left, pixels = region.paint((height, width))
    class_map[top : top + pixels.shape[0], left : left + pixels.shape[1]][pixels] = region.class_id
