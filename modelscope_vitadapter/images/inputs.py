"""Whatever a caller hands over as an image, as a BGR array."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modelscope_vitadapter.errors import ImageError, ImageTypeError
from modelscope_vitadapter.images.arrays import array_to_bgr
from modelscope_vitadapter.images.columns import image_column
from modelscope_vitadapter.images.fetch import fetch_url, read_file
from modelscope_vitadapter.images.naming import describe, is_url
from modelscope_vitadapter.images.pictures import CheckSize, decode_picture, pil_to_bgr
from modelscope_vitadapter.validation import shorten

__all__ = ["describe", "read_image"]

_ACCEPTED = (
    "expected a path, an http or https URL, the bytes of an image file, a PIL image, a numpy "
    "array (BGR, values 0 to 255) or a dict with one image column"
)


def read_image(
    source: object, *, max_pixels: int | None = None, check_size: CheckSize | None = None
) -> NDArray[Any]:
    """Read an image from anything that can be one.

    What the built-in pipeline of ModelScope accepts gives the same pixels as there. The
    orientation of EXIF is applied to paths, URLs and bytes, never to PIL images and arrays.

    Args:
        source: Path (str or Path), URL (http or https), bytes of an image file (bytes, bytearray,
            memoryview), PIL image of any mode, array (see `array_to_bgr`), or a dict with one
            image column (see `image_column`). It is never modified.
        max_pixels: Largest picture that is decoded, `pictures.MAX_PIXELS` if None. Arrays are in
            memory already: no limit.
        check_size: Called with a name of the input and its `(height, width)` as stored, before
            anything of that size is made; raises where it cannot be taken.

    Returns:
        `(H, W, 3)` BGR in 0..255, C-contiguous and writable, independent of `source`: float32
        where floats were given (an array of floats, mode `F`), else uint8.

    Raises:
        ImageNotFoundError: The file, or the resource behind the URL, does not exist.
        ImageTypeError: The type of `source` holds no image.
        ImageMemoryError: The memory for it is not there.
        ImageError: The file, the bytes or the values are none of an image.
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
    content = _encoded(source, name)
    return decode_picture(content, name, max_pixels=max_pixels, check_size=check_size)


def _encoded(source: object, name: str) -> bytes:
    """Return the bytes of an encoded picture."""
    if isinstance(source, bytes):
        return source
    if isinstance(source, bytearray | memoryview):
        return bytes(source)
    if isinstance(source, os.PathLike):
        path = os.fspath(source)
        if isinstance(path, str):
            return read_file(Path(path))
    if isinstance(source, str):
        return _encoded_at(source, name)
    hint = ""
    if hasattr(source, "read"):
        hint = "; pass what its read() gives"
    elif hasattr(source, "numpy"):
        hint = "; pass an array (H, W, 3), for a tensor (3, H, W) tensor.permute(1, 2, 0).numpy()"
    raise ImageTypeError(f"{name} is no image: {_ACCEPTED}{hint}")


def _encoded_at(address: str, name: str) -> bytes:
    if is_url(address):
        return fetch_url(address)
    if not address:
        raise ImageError(f"{name} is no image: {_ACCEPTED}")
    if address[:5].lower() == "data:":
        raise ImageError(
            f"{shorten(address[:32])!r}... is a data URL, which is not read: decode it with "
            "base64.b64decode and pass the bytes"
        )
    scheme, separator, _ = address.partition("://")
    if separator and len(scheme) > 1:  # one letter names a drive of Windows
        raise ImageError(f"{name}: addresses of scheme {scheme!r} are not read; {_ACCEPTED}")
    return read_file(Path(address))
