"""What a dataset is: a length, samples by index, and what the ids in its label maps stand for."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from modelscope_vitadapter.datasets.label_ids import LabelIds
from modelscope_vitadapter.errors import DataSetError, VitAdapterError
from modelscope_vitadapter.images.naming import describe
from modelscope_vitadapter.images.options import DEFAULT, ReadOptions
from modelscope_vitadapter.validation import shorten

EMPTY = "the dataset is empty: expected at least one image with a label map"


@dataclass(frozen=True)
class Sample:
    """An image and its label map, neither of them read yet."""

    name: str  # the image's in messages: its path, or the row that it stands in
    image: object  # anything that `images.reading.read_image` takes
    label: object  # anything that `label_maps.read_label_map` takes
    label_name: str
    options: ReadOptions = DEFAULT  # how the image is read


class SegmentationDataset(Protocol):
    """Images with label maps: samples by index.

    It may also have `classes`, the names of its classes by id, `name`, and `identity`, a text that
    is another one for other data; see `classes_of` and `identity_of`.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample: ...

    @property
    def label_ids(self) -> LabelIds:
        """How ids in its label maps become class ids."""


def classes_of(dataset: SegmentationDataset) -> tuple[str, ...] | None:
    """The names of a dataset's classes by id, or None where it knows none."""
    names = getattr(dataset, "classes", None)
    return None if names is None else tuple(str(name) for name in names)


def identity_of(dataset: SegmentationDataset) -> str:
    """A text that tells a dataset from others: a digest of what it refers to, in its order."""
    identity = getattr(dataset, "identity", None)
    if identity is not None:
        return str(identity)
    digest = hashlib.sha256(f"{type(dataset).__qualname__}{dataset.label_ids}".encode())
    for index in range(len(dataset)):
        sample = dataset[index]
        digest.update(_identity(sample.image) + _identity(sample.label))
    return f"{len(dataset)} images, {digest.hexdigest()[:16]}"


@dataclass(frozen=True)
class PairedDataset:
    """The dataset that every source is opened as."""

    pairs: Any  # what has a length and `(image, label)` by index, in forms that `Sample` takes
    label_ids: LabelIds = field(default_factory=LabelIds)
    classes: tuple[str, ...] | None = None
    name: str = "pairs"
    element: str | None = "pair"  # a pair in messages, with its index; None: its paths say enough
    root: Path | None = None  # of paths in `identity`, so that a copied dataset is the same
    fingerprint: str | None = None  # tells the pairs from others; None to look at each for that
    options: ReadOptions = DEFAULT
    layout: str | None = None  # what it was recognised as
    ids_are_told: bool = False  # whether somebody said what ids mean, so that it is no guess

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        image, label = self._pair(index)
        if self.element is None:
            name = f"label map {str(getattr(label, 'identity', label))!r}"
            return Sample(str(image), image, label, name, self.options)
        paths = [f" ({shorten(path)})" if path else "" for path in map(_path_in, (image, label))]
        place = f"{self.element} {index}"
        name = f"label map of {place}{paths[1]}"
        return Sample(place + paths[0], image, label, name, self.options)

    def _pair(self, index: int) -> tuple[Any, Any]:
        try:
            image, label = self.pairs[index]
        except (VitAdapterError, MemoryError):
            raise
        except Exception as error:  # a dataset of someone else's
            if not 0 <= index < len(self):  # the end of an iteration
                raise
            raise DataSetError(
                f"the dataset failed to give {self.element or 'pair'} {index} (counted from 0), "
                f"{type(error).__name__}: {error}. Repair it or leave it out"
            ) from error
        return image, label

    @cached_property
    def identity(self) -> str:
        """Changes with what the pairs refer to, with their order and with the meaning of ids."""
        text = f"{self.label_ids}{self.options}{self.fingerprint}"
        digest = hashlib.sha256(text.encode())
        for index in range(0 if self.fingerprint is not None else len(self)):
            for reference in self._pair(index):
                digest.update(_identity(reference, self.root))
        return f"{len(self)} images, {digest.hexdigest()[:16]}"


def _identity(reference: Any, root: Path | None = None) -> bytes:
    """Path and size of a file, from `root` on; of what lies in memory a digest of its content."""
    if isinstance(reference, Mapping) and reference.get("bytes") is not None:
        reference = reference["bytes"]
    found = _path_in(reference)
    if found:
        path = Path(found)
        size = path.stat().st_size if path.is_file() else -1
        if root is not None and path.is_relative_to(root):
            path = path.relative_to(root)
        return f"{path.as_posix()}\0{size}\0".encode("utf-8", "surrogateescape")
    if hasattr(reference, "identity"):  # drawn labels
        return f"{reference.identity}\0".encode()
    content = b""
    if isinstance(reference, bytes | bytearray | memoryview):
        content = bytes(reference)
    elif isinstance(reference, Image.Image) or hasattr(reference, "__array__"):
        content = np.ascontiguousarray(np.asarray(reference)).tobytes()
    return describe(reference).encode() + hashlib.sha256(content).digest()


def _path_in(reference: object) -> str:
    """The path that a reference is or carries, if any."""
    if isinstance(reference, Mapping):
        reference = reference.get("path")
    if not isinstance(reference, str | os.PathLike):
        reference = getattr(reference, "filename", None)
    return str(reference or "")
