"""What a prediction is to hold beside the class of each pixel."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path

from modelscope_vitadapter.hints import option
from modelscope_vitadapter.validation import parse_flag

HIGHEST_ID = 65535
"""Of ids in files; most formats have 16 bits at most."""

AnyPath = str | os.PathLike[str]
PathOfInput = Callable[[int], AnyPath]
"""From an input's number, counted from 0, to the file that is written for it."""


@dataclass(frozen=True)
class Wanted:
    """What is given for each pixel beside its class; what is not asked for costs nothing."""

    confidence: bool = False
    """The highest class probability."""
    top_k: int | None = None
    """How many of the best classes are given, with their probabilities."""
    probabilities: bool | AnyPath | PathOfInput = False
    """Those of all classes: True in memory, or written to the `.npy` file of this name, for several
    inputs to the file that a function names for each."""
    threshold: float | None = None
    """Pixels whose highest probability is below it get the ignore id as their class."""
    ignore_id: int | None = None
    """255 by default, of a model with more than 255 classes 65535."""

    @property
    def every_pixel(self) -> bool:
        """Whether probabilities are needed, so that no pixel can be decided without them."""
        asked = self.confidence or self.top_k or self.probabilities
        return bool(asked) or self.threshold is not None

    @property
    def ignored(self) -> int | None:
        """The ignore id, where pixels may get it."""
        return None if self.threshold is None else self.ignore_id

    def checked(self, num_classes: int) -> "Wanted":
        """The same for a model of so many classes, with its ignore id.

        Raises:
            ValueError: a value is not what its field takes; the message names both.
        """
        parse_flag("confidence", self.confidence)
        count, limit, unused = self.top_k, self.threshold, self.ignore_id
        if count is not None and not (_is_whole(count) and 1 <= count <= num_classes):
            raise ValueError(
                f"{option('top_k', count)}: expected a whole number from 1 to {num_classes}, which "
                "is how many classes the model has"
            )
        is_number = isinstance(limit, Real) and not isinstance(limit, bool)
        if limit is not None and not (is_number and 0 <= limit <= 1):
            raise ValueError(f"{option('threshold', limit)}: expected a probability from 0 to 1")
        if unused is not None and not (_is_whole(unused) and num_classes <= unused <= HIGHEST_ID):
            raise ValueError(
                f"{option('ignore_id', unused)}: expected a whole number that is no class of the "
                f"model, from {num_classes} to {HIGHEST_ID}"
            )
        where = self.probabilities
        if not (isinstance(where, bool) or callable(where)) and not names_array(where):
            raise ValueError(
                f"{option('probabilities', where)}: expected the name of a file that ends in .npy"
            )
        default = 255 if num_classes <= 255 else HIGHEST_ID
        return replace(self, ignore_id=default if unused is None else unused)


CLASS_ONLY = Wanted()


def names_array(path: object) -> bool:
    """Whether a value is the path of a `.npy` file."""
    return isinstance(path, str | os.PathLike) and Path(path).suffix == ".npy"


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
