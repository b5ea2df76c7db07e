"""What a layout is: it knows itself by what is on disk, and finds images and their label maps.

A layout is a module of this folder with

- `NAME`: what `--layout` calls it;
- `LOOK`: how it looks on disk, in one line, for people;
- `splits(root)`: the names of the parts that are there, none where it has no parts; None where the
  folder or file `root` is not of this layout, which is told from names only, fast;
- `find(root, split)`: the part's images and label maps, as `Found`. `split` is one of `splits`, or
  None where there are none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.datasets.label_ids import LabelIds


@dataclass(frozen=True)
class Found:
    """Images and label maps, as a layout has them."""

    pairs: Sequence[tuple[Any, Any]]
    """`(image, label map)`: paths, in place of the latter also a `DrawnLabels`."""
    classes: tuple[str, ...] | None = None
    """Names of the classes by id, where the files tell them."""
    label_ids: LabelIds | None = None
    """What the ids stand for, where the layout says so."""


class Layout(Protocol):
    """See the module's description."""

    NAME: str
    LOOK: str

    splits: Callable[[Path], list[str] | None]
    find: Callable[[Path, str | None], Found]


class DrawnLabels(Protocol):
    """A label map that is drawn when it is asked for, from polygons in a file."""

    identity: str
    """Names the file, its size and the place in it: another text for other labels."""

    def ids(self) -> NDArray[np.integer[Any]]:
        """Draws it, `(H, W)`; DataSetError, with the file's name, where that can't be done."""
