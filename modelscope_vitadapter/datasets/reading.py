"""Samples, read: an image and the class of each of its pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.datasets.dataset import Sample
from modelscope_vitadapter.datasets.label_ids import LabelIds
from modelscope_vitadapter.datasets.label_maps import ids_to_classes, read_label_map
from modelscope_vitadapter.datasets.tensors import of_tensor
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError, ImageError
from modelscope_vitadapter.hints import option
from modelscope_vitadapter.images.reading import read_oriented_image
from modelscope_vitadapter.logs import get_logger

KEEPS_SIDES = (2, 3, 4)
"""EXIF orientations that leave height and width as they are: mirrored, upside down."""


@dataclass(frozen=True)
class LabelledImage:
    """An image with a class for each pixel."""

    image: NDArray[np.uint8]  # `(H, W, 3)` BGR, 0 to 255
    classes: NDArray[np.int16]  # `(H, W)` class ids 0..K-1, `IGNORED` elsewhere
    name: str  # for messages
    ids: NDArray[np.integer]  # `(H, W)` as stored
    is_ambiguous: bool = False
    """Whether EXIF turned the image, and the label map would have fitted it as stored as well."""


def read_sample(sample: Sample, label_ids: LabelIds, num_classes: int) -> LabelledImage:
    """Reads an image and its label map.

    The orientation of EXIF is applied to images that are given as files or bytes, as everywhere
    in this package, unless options say otherwise, and never to label maps: those are maps of the
    upright image.

    Raises:
        DataSetNotFoundError: a file does not exist.
        DataSetError: one of the two can't be read, their sizes differ, or the label map holds an
            id that belongs to no class. The message names the file.
        ImageMemoryError: there is too little memory; that is not the file's fault.
    """
    ids = read_ids(sample, label_ids)
    classes = ids_to_classes(ids, label_ids, num_classes, sample.label_name)
    try:
        options = sample.options
        source = of_tensor(sample.image, scaled=options.value_range is None)
        image, orientation = read_oriented_image(source, options=options)
    except MemoryError:
        raise
    except ImageError as error:
        kind = DataSetNotFoundError if isinstance(error, FileNotFoundError) else DataSetError
        text = str(error)
        raise kind(text if sample.name in text else f"{sample.name}: {text}") from error
    if image.dtype != np.uint8:
        image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    applied = orientation > 1 and sample.options.exif == "apply"
    height, width = image.shape[:2]
    if (height, width) != classes.shape:
        found = f"height {classes.shape[0]} and width {classes.shape[1]}"
        turned = ", upright as its EXIF data says" if applied else ""
        raise DataSetError(
            f"{sample.label_name} has {found}, its image {sample.name} has height {height} and "
            f"width {width}{turned}; expected the same: resize or turn the label map"
            + (f", or read images as stored with {option('exif', 'ignore')}" if applied else "")
        )
    ambiguous = applied and (orientation in KEEPS_SIDES or height == width)
    return LabelledImage(image, classes, sample.name, ids, ambiguous)


def read_ids(sample: Sample, label_ids: LabelIds) -> NDArray[np.integer]:
    """Reads a sample's label map, `(H, W)` ids as stored; errors as of `read_sample`."""
    return read_label_map(
        sample.label,
        sample.label_name,
        colours=label_ids.colours,
        max_pixels=sample.options.max_pixels,
    )


def warn_of_orientation(name: str) -> None:
    """Says that an image was turned, and that nobody can tell whether its label map was drawn so.

    Called once for a dataset.
    """
    get_logger().warning(
        "%s has an EXIF orientation and was turned upright; its label map has the same height and "
        "width either way. If label maps were drawn on the images as stored, say %s",
        *(name, option("exif", "ignore")),
    )
