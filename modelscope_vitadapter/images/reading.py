"""Whatever a caller hands over as an image, as a BGR array."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modelscope_vitadapter.errors import ImageError, ImageTypeError
from modelscope_vitadapter.images.arrays import array_to_bgr
from modelscope_vitadapter.images.decode import MAX_PIXELS, CheckSize, decode_image, pil_to_bgr
from modelscope_vitadapter.images.fetch import fetch_url, read_file
from modelscope_vitadapter.images.naming import describe, is_url
from modelscope_vitadapter.validation import shorten

__all__ = ["MAX_PIXELS", "CheckSize", "image_column", "read_bytes", "read_image"]

_ACCEPTED = (
    "expected a path, an http or https URL, the bytes of an image file, a PIL image, a numpy "
    "array (BGR, values 0 to 255) or a dict with one image column"
)
_IMAGE_KEYS = ("inputimage", "image", "img", "input", "file")
_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".jp2", ".ppm"),
    ".pgm",
)


def read_image(
    source: object, *, max_pixels: int | None = None, check_size: CheckSize | None = None
) -> NDArray[Any]:
    """Reads an image from anything that can be one.

    What the built-in pipeline of ModelScope accepts gives the same pixels as there. The
    orientation of EXIF is applied to paths, URLs and bytes, never to PIL images and arrays.

    Args:
        source: path (str or Path), URL (http or https), bytes of an image file (bytes, bytearray,
            memoryview), PIL image of any mode, array (see `array_to_bgr`), or a dict with one
            image column (see `image_column`). It is never modified.
        max_pixels: largest image that is decoded, `MAX_PIXELS` if None. Arrays are in memory
            already: no limit.
        check_size: called with a name of the input and its `(height, width)` as stored, before
            anything of that size is made; raises where it can't be taken.

    Returns:
        `(H, W, 3)` BGR in 0..255, C-contiguous and writable, independent of `source`: float32
        where floats were given (an array of floats, mode `F`), else uint8.

    Raises:
        ImageNotFoundError: the file, or the resource behind the URL, does not exist.
        ImageTypeError: the type of `source` holds no image.
        ImageMemoryError: the memory for it is not there.
        ImageError: the file, the bytes or the values are none of an image.
    """
    if isinstance(source, Mapping):
        source = image_column(source)
    name = describe(source)
    if isinstance(source, np.ndarray):
        if check_size is not None and source.ndim in (2, 3):
            check_size(name, (source.shape[0], source.shape[1]))
        return array_to_bgr(source, name)
    if isinstance(source, Image.Image):
        if check_size is not None:
            check_size(name, (source.height, source.width))
        return pil_to_bgr(source, name, max_pixels=max_pixels)
    content = read_bytes(source)
    return decode_image(content, name, max_pixels=max_pixels, check_size=check_size)


def read_bytes(source: object) -> bytes:
    """Reads an encoded image.

    Args:
        source: path, URL, or the bytes themselves.

    Raises:
        ImageError: as `read_image`.
    """
    name = describe(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    path = os.fspath(source) if isinstance(source, os.PathLike) else source
    if not isinstance(path, str):
        hint = ""
        if hasattr(source, "read"):
            hint = "; pass what its read() gives"
        elif hasattr(source, "numpy"):
            hint = "; pass an array (H, W, 3), for a tensor tensor.permute(1, 2, 0).numpy()"
        raise ImageTypeError(f"{name} is no image: {_ACCEPTED}{hint}")
    if isinstance(source, str):
        if is_url(source):
            return fetch_url(source)
        scheme, separator, _ = source.partition("://")
        if not source:
            raise ImageError(f"{name} is no image: {_ACCEPTED}")
        if source[:5].lower() == "data:":
            raise ImageError(
                f"{shorten(source[:32])!r}... is a data URL, which is not read: decode it with "
                "base64.b64decode and pass the bytes"
            )
        if separator and len(scheme) > 1:  # one letter names a drive of Windows
            raise ImageError(f"{name}: addresses of scheme {scheme!r} are not read; {_ACCEPTED}")
    return read_file(Path(path))


def image_column(row: Mapping[Any, Any]) -> object:
    """Picks the image out of a row of a dataset.

    Rules, in this order: the form in which Hugging Face's `datasets` stores an image
    (`{'bytes': ..., 'path': ...}`); the only column named image, img, input, file or InputImage,
    in any case and with or without ModelScope's `:FILE`; the only value that can be an image.

    Args:
        row: names and values of one row, such as `{'InputImage:FILE': 'photo.jpg', 'id': 7}`.

    Returns:
        The value of that column: anything that `read_image` takes but another row.

    Raises:
        ImageTypeError: no column, or more than one, can be the image.
    """
    if _is_stored(row):
        return _stored(row)
    named = [key for key in row if _plain(key) in _IMAGE_KEYS and row[key] is not None]
    if not named:
        named = [key for key in row if len(row) == 1 or _can_be_image(row[key])]
    if len(named) != 1:
        found = f"several columns can be it: {list(map(str, named))}" if named else "none can be"
        raise ImageTypeError(
            f"{describe(row)}: expected one image column, but {found}; pass the image itself, or "
            "a dict with a single column named 'image'"
        )
    value = row[named[0]]
    if not isinstance(value, Mapping):
        return value
    if not _is_stored(value):
        raise ImageTypeError(
            f"{describe(value)} inside another dict is no image; expected a path, URL, bytes, "
            "PIL image or array"
        )
    return _stored(value)


def _plain(key: object) -> str:
    return str(key).removesuffix(":FILE").lower()


def _is_stored(value: object) -> bool:
    """Whether a value is an image as Hugging Face's `datasets` stores it."""
    return (
        isinstance(value, Mapping)
        and set(value) <= {"bytes", "path"}
        and any(value[key] is not None for key in value)
    )


def _stored(value: Mapping[Any, Any]) -> object:
    # The path may be a name inside an archive, so the bytes come first.
    return value["bytes"] if value.get("bytes") is not None else value["path"]


def _can_be_image(value: object) -> bool:
    if isinstance(value, str):
        return is_url(value) or PurePath(value).suffix.lower() in _SUFFIXES
    if isinstance(value, np.ndarray):
        return value.ndim in (2, 3)
    return _is_stored(value) or isinstance(
        value, Image.Image | os.PathLike | bytes | bytearray | memoryview
    )
