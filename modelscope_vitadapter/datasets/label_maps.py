"""Label maps, read without any loss: the ids as they were stored."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError, ImageNotFoundError
from modelscope_vitadapter.images.decode import check_pixels, open_image
from modelscope_vitadapter.images.reading import image_column, read_bytes

FORMATS = ("PNG", "TIFF", "BMP", "PPM", "TGA", "JPEG", "WEBP")
"""Formats of label maps that are opened; of these, JPEG and WebP are refused by name."""

LOSSY = ("JPEG", "WEBP")

MODES = ("1", "L", "P", "I", "I;16", "I;16L", "I;16B", "I;16N")
"""Modes of Pillow that hold one number a pixel: bits, 8 bits, palette indexes, 32 and 16 bits."""

_EXPECTED = "expected one id for each pixel: a PNG of one channel (8 or 16 bits) or with a palette"


def read_label_map(source: object, name: str) -> NDArray[np.integer]:
    """Read the ids of a label map.

    Of a picture with a palette the indexes count, not the colours. The orientation of EXIF is
    never applied.

    Args:
        source: Path (str or Path), URL (http or https), the bytes of an image file, a PIL image,
            a `(H, W)` or `(H, W, 1)` array of integers or bools, or the form in which Hugging
            Face's `datasets` stores a picture (`{'bytes': ..., 'path': ...}`).
        name: How error messages call it.

    Returns:
        `(H, W)` integers as stored; a view of `source` where that is an array.

    Raises:
        DataSetNotFoundError: There is no such file.
        DataSetError: It can't be read, or holds colours in place of ids.
    """
    try:
        if isinstance(source, Mapping):
            source = image_column(source)
        if isinstance(source, Image.Image):
            return _ids_of(source, name)
        if isinstance(source, str | os.PathLike | bytes | bytearray | memoryview):
            return _decode(read_bytes(source), name)
    except DataSetError:
        raise
    except ImageNotFoundError as error:
        raise DataSetNotFoundError(f"{name} does not exist; each picture needs a map") from error
    except Exception as error:  # Pillow's decoders raise many classes on damaged files
        raise DataSetError(
            f"{name} can't be read ({type(error).__name__}: {error}); {_EXPECTED}"
        ) from error
    return _checked_array(np.asarray(source), name)


def _decode(content: bytes, name: str) -> NDArray[np.integer]:
    if not content:
        raise DataSetError(f"{name} is empty; {_EXPECTED}")
    with open_image(content, name, FORMATS) as picture:
        check_pixels(picture, name)
        if picture.format in LOSSY:
            raise DataSetError(
                f"{name} is a {picture.format}, which changes ids when it is saved; {_EXPECTED}. "
                "Export it anew as PNG from where it was drawn"
            )
        return _ids_of(picture, name)


def _ids_of(picture: Image.Image, name: str) -> NDArray[np.integer]:
    if picture.mode not in MODES:
        raise DataSetError(
            f"{name} holds colours (mode {picture.mode}), no ids; {_EXPECTED}. Translate each "
            "colour to its class id, or export it as indexes from where it was drawn"
        )
    ids: NDArray[Any] = np.asarray(picture)
    return _numbers(ids)


def _checked_array(array: NDArray[Any], name: str) -> NDArray[np.integer]:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "bui":
        raise DataSetError(
            f"{name} is an array of shape {array.shape}, {array.dtype}; expected (H, W) integers, "
            "one class id for each pixel"
        )
    return _numbers(array)


def _numbers(array: NDArray[Any]) -> NDArray[np.integer]:
    """Bits as 0 and 1 (Pillow stores a set bit as 255), other integers as they are."""
    return np.where(array, 1, 0).astype(np.uint8) if array.dtype == np.bool_ else array
