"""The image column of a data set's row."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
from PIL import Image

from modelscope_vitadapter.errors import ImageTypeError
from modelscope_vitadapter.images.naming import describe, is_url

_IMAGE_KEYS = frozenset({"inputimage", "image", "img", "input", "file"})
_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".jp2", ".ppm", ".pgm"}
)


def image_column(row: Mapping[Any, Any]) -> object:
    """Pick the image out of a row of a data set.

    Rules, in this order: the form in which Hugging Face's `datasets` stores a picture
    (`{'bytes': ..., 'path': ...}`); the only column named image, img, input, file or InputImage,
    in any case and with or without ModelScope's `:FILE`; the only value that can be an image.

    Args:
        row: Names and values of one row, such as `{'InputImage:FILE': 'photo.jpg', 'id': 7}`.

    Returns:
        The value of that column: anything that `read_image` takes but another row.

    Raises:
        ImageTypeError: No column, or more than one, can be the image.
    """
    if _is_stored_picture(row):
        return _stored_picture(row)
    named = [key for key in row if _plain_name(key) in _IMAGE_KEYS and row[key] is not None]
    if len(named) == 1:
        return _unwrap(row[named[0]])
    if not named:
        named = [key for key in row if _can_be_image(row[key])] if len(row) > 1 else list(row)
        if len(named) == 1:
            return _unwrap(row[named[0]])
    found = f"several columns can be it: {[str(key) for key in named]}" if named else "none can be"
    raise ImageTypeError(
        f"{describe(row)}: expected one image column, but {found}; pass the image itself, or a "
        "dict with a single column named 'image'"
    )


def _plain_name(key: object) -> str:
    return str(key).removesuffix(":FILE").lower()


def _is_stored_picture(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and set(value) <= {"bytes", "path"}
        and any(value[key] is not None for key in value)
    )


def _stored_picture(row: Mapping[Any, Any]) -> object:
    # The path may be a name inside an archive, so the bytes come first.
    return row["bytes"] if row.get("bytes") is not None else row["path"]


def _unwrap(value: object) -> object:
    if isinstance(value, Mapping) and _is_stored_picture(value):
        return _stored_picture(value)
    if isinstance(value, Mapping):
        raise ImageTypeError(
            f"{describe(value)} inside another dict is no image; expected a path, URL, bytes, "
            "PIL image or array"
        )
    return value


def _can_be_image(value: object) -> bool:
    if isinstance(value, str):
        return is_url(value) or PurePath(value).suffix.lower() in _SUFFIXES
    if isinstance(value, np.ndarray):
        return value.ndim in (2, 3)
    return _is_stored_picture(value) or isinstance(
        value, Image.Image | os.PathLike | bytes | bytearray | memoryview
    )
