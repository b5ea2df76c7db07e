"""A sample, read: the picture and the class of each of its pixels."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from modelscope_vitadapter.datasets.label_ids import LabelIds
from modelscope_vitadapter.datasets.label_maps import read_label_map
from modelscope_vitadapter.datasets.samples import Sample
from modelscope_vitadapter.errors import (
    DataSetError,
    DataSetNotFoundError,
    ImageError,
    ImageNotFoundError,
)
from modelscope_vitadapter.images.reading import read_image

TURNED = (5, 6, 7, 8)
"""EXIF orientations that exchange height and width."""


@dataclass(frozen=True)
class LabelledPicture:
    """A picture with a class for each pixel.

    Attributes:
        image: `(H, W, 3)` BGR, 0 to 255.
        classes: `(H, W)` class ids 0..K-1, `IGNORED` elsewhere.
        name: for messages.
    """

    image: NDArray[np.uint8]
    classes: NDArray[np.int16]
    name: str


def read_labelled(sample: Sample, label_ids: LabelIds, num_classes: int) -> LabelledPicture:
    """Read a picture and its label map.

    The orientation of EXIF is applied to pictures that are given as files or bytes, as everywhere
    in this package, and never to label maps: those are maps of the upright picture.

    Args:
        sample: What to read.
        label_ids: What the ids in the label map stand for.
        num_classes: K.

    Raises:
        DataSetNotFoundError: A file does not exist.
        DataSetError: One of the two can't be read, their sizes differ, or the label map holds an
            id that belongs to no class. The message names the file.
        ImageMemoryError: There is too little memory; that is not the file's fault.
    """
    ids = read_label_map(sample.label, sample.label_name)
    classes, wrong = label_ids.to_classes(ids, num_classes)
    if wrong is not None:
        raise DataSetError(f"{sample.label_name} {wrong}")
    image = _read_picture(sample)
    if image.shape[:2] != classes.shape:
        raise DataSetError(
            f"{sample.label_name} has height {classes.shape[0]} and width {classes.shape[1]}, its "
            f"picture {sample.name} has height {image.shape[0]} and width {image.shape[1]}; "
            f"expected the same{_orientation_hint(sample.image)}"
        )
    return LabelledPicture(image, classes, sample.name)


def _read_picture(sample: Sample) -> NDArray[np.uint8]:
    try:
        image = read_image(sample.image)
    except ImageNotFoundError as error:
        raise DataSetNotFoundError(_named(sample.name, error)) from error
    except MemoryError:
        raise
    except ImageError as error:
        raise DataSetError(_named(sample.name, error)) from error
    if image.dtype != np.uint8:
        image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return image


def _named(name: str, error: Exception) -> str:
    return str(error) if name in str(error) else f"{name}: {error}"


def _orientation_hint(source: object) -> str:
    """What to do where a picture's EXIF orientation may be why sizes differ."""
    try:
        if isinstance(source, bytes):
            source = io.BytesIO(source)
        elif not isinstance(source, str | os.PathLike):
            return ""
        with Image.open(source) as picture:
            orientation: Any = picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # it was read before; without metadata there is nothing to say
        return ""
    if orientation not in TURNED:
        return ""
    return (
        f". The picture's EXIF orientation ({orientation}) turns it by a quarter: turn the label "
        "map likewise, or remove the tag from the picture"
    )
