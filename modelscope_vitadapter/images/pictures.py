"""PIL images and encoded pictures."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from modelscope_vitadapter.errors import ImageError
from modelscope_vitadapter.images.arrays import array_to_bgr
from modelscope_vitadapter.images.naming import describe

MAX_PIXELS = 178_956_970
"""Largest picture that is decoded, in pixels: where Pillow's default speaks of a bomb."""

_TEXT_HINT = 12


def decode_picture(
    content: bytes, name: str | None = None, *, max_pixels: int = MAX_PIXELS
) -> NDArray[Any]:
    """Decode a picture of any format that Pillow reads.

    Ordinary pictures give what ModelScope's `load_image` gives: the orientation of EXIF is
    applied, then the picture is converted to RGB. Of an animation the first frame counts.
    Other than there, 16-bit grey pictures are scaled (see `pil_to_bgr`), not clipped.

    Args:
        content: The whole file.
        name: How error messages call the input; its number of bytes if None.
        max_pixels: Largest picture that is decoded. Pillow's own `Image.MAX_IMAGE_PIXELS` holds
            as well.

    Returns:
        `(H, W, 3)` BGR uint8 in 0..255 (float32 for a picture of floats), C-contiguous, writable.

    Raises:
        ImageError: The content is no picture, is cut short, or has too many pixels.
    """
    name = name or describe(content)
    if not content:
        raise ImageError(f"{name} is empty, expected an encoded picture such as JPEG or PNG")
    try:
        with Image.open(io.BytesIO(content)) as picture:
            _check_pixels(picture, name, max_pixels)
            ImageOps.exif_transpose(picture, in_place=True)
            return pil_to_bgr(picture, name, max_pixels=max_pixels)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name} is no picture that Pillow can read (it begins with "
            f"{content[:_TEXT_HINT]!r}), expected an encoded picture such as JPEG or PNG"
        ) from error
    except Exception as error:  # Pillow's decoders raise many classes on damaged files
        raise _undecodable(name, error) from error


def pil_to_bgr(
    picture: Image.Image, name: str | None = None, *, max_pixels: int = MAX_PIXELS
) -> NDArray[Any]:
    """Turn a PIL image of any mode into a BGR image.

    Orientation tags of a PIL image are not applied, as in the built-in pipeline. Alpha is
    dropped. 16-bit grey (`I;16`, and `I` with values above 255) becomes `round(value / 257)`, so
    that 65535 is white; `I` with values up to 255 is taken as it is; `F` stays float.

    Args:
        picture: The image; it is loaded if it was opened lazily, and never modified.
        name: How error messages call the input; a description of the image if None.
        max_pixels: Largest image that is accepted.

    Returns:
        `(H, W, 3)` BGR uint8 in 0..255 (float32 in 0..255 for mode `F`), C-contiguous, writable.

    Raises:
        ImageError: The image is empty, too large, cut short, or holds values outside its range.
    """
    name = name or describe(picture)
    _check_pixels(picture, name, max_pixels)
    try:
        if picture.mode.startswith("I;16"):
            return array_to_bgr(_scale_16_bits(np.asarray(picture).astype(np.int32)), name)
        if picture.mode == "I":
            return array_to_bgr(_narrow(np.asarray(picture), name), name)
        if picture.mode == "F":
            return array_to_bgr(np.asarray(picture), name)
        if picture.mode == "La":  # Pillow knows no direct way from premultiplied grey to RGB
            picture = picture.convert("LA")
        return np.array(np.asarray(picture.convert("RGB"))[:, :, ::-1], order="C", copy=True)
    except ImageError:
        raise
    except Exception as error:  # a lazily opened image is decoded here
        raise _undecodable(name, error) from error


def _scale_16_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return round(value / 257) of values in 0..65535."""
    return ((values.astype(np.int64) + 128) // 257).astype(np.uint8)


def _narrow(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Return 8-bit values of an image of 32-bit integers."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ImageError(
            f"{name} holds values from {low} to {high}, expected 0 to 255 (8 bits) or "
            "0 to 65535 (16 bits)"
        )
    return values if high <= 255 else _scale_16_bits(values)


def _check_pixels(picture: Image.Image, name: str, max_pixels: int) -> None:
    width, height = picture.size
    if width == 0 or height == 0:
        raise ImageError(f"{name} is empty: height {height}, width {width}, expected a picture")
    if width * height > max_pixels:
        raise ImageError(
            f"{name} has {width * height} pixels (height {height}, width {width}), expected at "
            f"most {max_pixels}; reduce it first"
        )


def _undecodable(name: str, error: Exception) -> ImageError:
    return ImageError(
        f"{name} cannot be decoded ({type(error).__name__}: {error}), expected a complete, "
        "undamaged picture"
    )
