"""Whatever a caller hands over as an image, as a BGR array."""

import os
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modelscope_vitadapter.errors import ImageError, ImageTypeError
from modelscope_vitadapter.images.arrays import array_to_bgr
from modelscope_vitadapter.images.decode import decode_oriented, pil_to_bgr
from modelscope_vitadapter.images.fetch import fetch_url, read_file
from modelscope_vitadapter.images.limits import CheckSize
from modelscope_vitadapter.images.naming import describe, is_url
from modelscope_vitadapter.images.options import DEFAULT, ReadOptions
from modelscope_vitadapter.images.video import is_capture_result, is_video
from modelscope_vitadapter.validation import shorten

_ACCEPTED = (
    "expected a path, an http or https URL, the bytes of an image file, a PIL image, a numpy "
    "array (BGR, values 0 to 255) or a dict with one image column"
)
_IMAGE_KEYS = ("inputimage", "image", "img", "input", "file")

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jp2", ".ppm", ".pgm"}
    | {".avif", ".heic", ".heif", ".tga", ".jfif", ".jpe"}
)
"""Suffixes of image files, in lower case."""


def read_image(
    source: object, *, options: ReadOptions = DEFAULT, check_size: CheckSize | None = None
) -> NDArray[Any]:
    """Reads an image from anything that can be one, with the pixels that ModelScope gives.

    The orientation of EXIF is applied to paths, URLs and bytes, never to PIL images and arrays.

    Args:
        source: path (str or Path), URL (http or https), bytes of an image file (bytes, bytearray,
            memoryview), PIL image of any mode, array (see `array_to_bgr`), or a dict with one
            image column (see `image_column`). It is never modified.
        options: see `decode_image`. Arrays are in memory already: no limit on pixels.
        check_size: see `CheckSize`; the size is as stored.

    Returns:
        `(H, W, 3)` BGR in 0..255, C-contiguous and writable, independent of `source`: float32
        where floats were given (an array of floats, mode `F`) without a `value_range`, else uint8.

    Raises:
        ImageNotFoundError: the file, or the resource behind the URL, does not exist.
        ImageTypeError: the type of `source` holds no image.
        ImageMemoryError: the memory for it is not there.
        ImageError: it is no image, or asks for too much.
    """
    return read_oriented_image(source, options=options, check_size=check_size)[0]


def read_oriented_image(
    source: object, *, options: ReadOptions = DEFAULT, check_size: CheckSize | None = None
) -> tuple[NDArray[Any], int]:
    """As `read_image`, with the EXIF orientation (1..8) that the file has.

    It is given whether it was applied or not; 1 where there is none or the data is damaged, and
    for PIL images and arrays.
    """
    if isinstance(source, Mapping):
        source = image_column(source)
    name = describe(source)
    if isinstance(source, np.ndarray):
        if check_size is not None and source.ndim in (2, 3):
            check_size(name, (source.shape[0], source.shape[1]))
        return array_to_bgr(source, name, value_range=options.value_range), 1
    if isinstance(source, Image.Image):
        if check_size is not None:
            check_size(name, (source.height, source.width))
        return pil_to_bgr(source, name, options=options), 1
    return decode_oriented(read_bytes(source), name, options=options, check_size=check_size)


def read_bytes(source: object) -> bytes:
    """Reads an encoded image from a path or URL, or from bytes; errors as of `read_image`."""
    name = describe(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    path = os.fspath(source) if isinstance(source, os.PathLike) else source
    if not isinstance(path, str):
        hint = ""
        if isinstance(source, cv2.VideoCapture):
            hint = "; pass it to the pipeline by itself, which gives a result for each frame"
        elif is_capture_result(source):
            hint = "; a VideoCapture's read() gives (ok, frame): pass the frame alone"
        elif hasattr(source, "read"):
            hint = "; pass what its read() gives"
        elif hasattr(source, "numpy"):
            hint = "; pass an array (H, W, 3), for a tensor tensor.permute(1, 2, 0).numpy()"
        raise ImageTypeError(f"{name} is no image: {_ACCEPTED}{hint}")
    if is_video(path):
        raise ImageError(
            f"{name} is a video, expected an image; pass it to the pipeline by itself, which gives "
            "a result for each frame, or its frames (modelscope_vitadapter.images.video.frames)"
        )
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
    """Picks the image out of a row of a dataset, such as `{'image': 'photo.jpg', 'id': 7}`.

    Rules, in this order: the row is a stored image (see `stored_image`); the only column named
    image, img, input, file or InputImage, in any case and with or without ModelScope's `:FILE`;
    the only value that can be an image. `ImageTypeError` where none or several can be it.
    """
    stored = stored_image(row)
    if stored is not None:
        return stored
    plain = {key: str(key).removesuffix(":FILE").lower() for key in row}
    named = [key for key in row if plain[key] in _IMAGE_KEYS and row[key] is not None]
    if not named:
        named = [key for key in row if len(row) == 1 or _can_be_image(row[key])]
    if len(named) != 1:
        found = f"several columns can be it: {list(map(str, named))}" if named else "none can be"
        raise ImageTypeError(
            f"{describe(row)}: expected one image column, but {found}; pass the image itself, or "
            "a dict with a single column named 'image'"
        )
    value = row[named[0]]
    stored = stored_image(value) if isinstance(value, Mapping) else None
    return value if stored is None else stored


def stored_image(value: Mapping[Any, Any]) -> object:
    """The image in `{'bytes': ..., 'path': ...}`, Hugging Face's form; None in any other dict."""
    if not set(value) <= {"bytes", "path"}:
        return None
    # The path may be a name inside an archive.
    return value.get("path") if value.get("bytes") is None else value["bytes"]


def _can_be_image(value: object) -> bool:
    if isinstance(value, str):
        return is_url(value) or PurePath(value).suffix.lower() in IMAGE_SUFFIXES
    if isinstance(value, np.ndarray):
        return value.ndim in (2, 3)
    if isinstance(value, Mapping):
        return stored_image(value) is not None
    return isinstance(value, Image.Image | os.PathLike | bytes | bytearray | memoryview)
