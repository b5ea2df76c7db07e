"""What a labelled data set is: a length, samples by index, and how its label ids are meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from modelscope_vitadapter.datasets.label_ids import IGNORED, LabelIds

__all__ = ["IGNORED", "LabelledPictures", "Sample", "classes_of", "identity_of"]


@dataclass(frozen=True)
class Sample:
    """A picture and its label map, neither of them read yet.

    Attributes:
        name: the picture's in messages: its path, or the row that it stands in.
        image: anything that `images.reading.read_image` takes.
        label: anything that `labelled.label_maps.read_label_map` takes.
        label_name: the label map's in messages.
    """

    name: str
    image: object
    label: object
    label_name: str


class LabelledPictures(Protocol):
    """A data set.

    It may also have `classes`, the names of its classes by id, and `identity`, a text that is
    another one for other data; see `classes_of` and `identity_of`.
    """

    @property
    def label_ids(self) -> LabelIds:
        """How ids in its label maps become class ids."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


def classes_of(pictures: LabelledPictures) -> tuple[str, ...] | None:
    """The names of a data set's classes by id, or None where it knows none."""
    names = getattr(pictures, "classes", None)
    return None if names is None else tuple(str(name) for name in names)


def identity_of(pictures: LabelledPictures) -> str:
    """A text that tells a data set from others, as far as it can without reading the pictures."""
    identity = getattr(pictures, "identity", None)
    if identity is not None:
        return str(identity)
    return f"{type(pictures).__qualname__}, {len(pictures)} pictures, {pictures.label_ids}"
