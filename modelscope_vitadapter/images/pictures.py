"""PIL images and encoded pictures."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from modelscope_vitadapter.errors import ImageError, ImageMemoryError
from modelscope_vitadapter.images.arrays import array_to_bgr
from modelscope_vitadapter.images.bombs import refuse_bombs
from modelscope_vitadapter.images.naming import describe
from modelscope_vitadapter.images.pillow_limit import TooManyPixelsError, pillow_limit

MAX_PIXELS = 178_956_970
"""Largest picture that is read unless told otherwise, in pixels: where Pillow's default speaks of a
decompression bomb."""

FORMATS = (
    *("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "HEIF", "JPEG2000", "MPO", "PPM"),
    *("ICO", "TGA", "PCX", "SGI", "QOI", "PSD"),
)
"""Pillow's formats that are read: those that pictures come in and that Pillow decodes itself. Of
the others, one starts a program (EPS: Ghostscript) and some replay drawing commands. HEIF needs a
plug-in of Pillow."""

BAND_PIXELS = 2**20
"""Pixels that are converted at a time: beside the picture and the result little is held."""

MAX_EXIF_BYTES = 2**22
"""EXIF data that is looked at: Pillow makes an object of each number in it. Cameras write
64 KiB at most."""

CheckSize = Callable[[str, tuple[int, int]], None]
"""Called with the name of an input and its `(height, width)` before its pixels are decoded; raises
where they cannot be taken."""

_TEXT_HINT = 12

_TURNS = {  # EXIF 2.32, 4.6.4 A: how the picture is set upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_picture(
    content: bytes,
    name: str | None = None,
    *,
    max_pixels: int | None = None,
    check_size: CheckSize | None = None,
) -> NDArray[Any]:
    """Decode a picture of one of `FORMATS`.

    Ordinary pictures give what ModelScope's `load_image` gives: the orientation of EXIF is
    applied, then the picture is converted to RGB. Of an animation the first frame counts.
    Other than there, 16-bit grey pictures are scaled (see `pil_to_bgr`), not clipped, and EXIF
    data that cannot be read is passed over.

    Args:
        content: The whole file.
        name: How error messages call the input; its number of bytes if None.
        max_pixels: Largest picture that is decoded, whatever `Image.MAX_IMAGE_PIXELS` says. If
            None, `MAX_PIXELS`, and Pillow's own limit holds as well.
        check_size: See `CheckSize`.

    Returns:
        `(H, W, 3)` BGR uint8 in 0..255 (float32 for a picture of floats), C-contiguous, writable.

    Raises:
        ImageMemoryError: The memory for it is not there.
        ImageError: The content is no picture, is cut short, has too many pixels, or asks for far
            more work than its pixels (see `refuse_bombs`).
    """
    name = name or describe(content)
    if not content:
        raise ImageError(
            f"{name} is empty, expected an encoded picture such as JPEG or PNG; save it anew"
        )
    refuse_bombs(content, name)
    try:
        with pillow_limit(max_pixels), _open(content) as picture:
            _check_pixels(picture, name, max_pixels)
            if check_size is not None:
                check_size(name, (picture.height, picture.width))
            return pil_to_bgr(_upright(picture), name, max_pixels=max_pixels)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name} is no picture that is read (it begins with {content[:_TEXT_HINT]!r}), "
            f"expected an encoded picture such as JPEG or PNG, of the formats {', '.join(FORMATS)}"
            "; convert it first"
        ) from error
    except Exception as error:  # Pillow's decoders raise many classes on damaged files
        raise _undecodable(name, error) from error


def pil_to_bgr(
    picture: Image.Image, name: str | None = None, *, max_pixels: int | None = None
) -> NDArray[Any]:
    """Turn a PIL image of any mode into a BGR image.

    Orientation tags of a PIL image are not applied, as in the built-in pipeline. Alpha is
    dropped. 16-bit grey (`I;16`, and `I` with values above 255) becomes `round(value / 257)`, so
    that 65535 is white; `I` with values up to 255 is taken as it is; `F` stays float.

    Args:
        picture: The image; it is loaded if it was opened lazily, and never modified.
        name: How error messages call the input; a description of the image if None.
        max_pixels: Largest image that is accepted, `MAX_PIXELS` if None.

    Returns:
        `(H, W, 3)` BGR uint8 in 0..255 (float32 in 0..255 for mode `F`), C-contiguous, writable.

    Raises:
        ImageMemoryError: The memory for it is not there.
        ImageError: The image is empty, too large, cut short, or holds values outside its range.
    """
    name = name or describe(picture)
    _check_pixels(picture, name, max_pixels)
    try:
        with pillow_limit(max_pixels):
            picture.load()  # a lazily opened image is decoded here
        _check_pixels(picture, name, max_pixels)  # icons say their size only now
        if picture.mode == "F":
            return array_to_bgr(np.asarray(picture), name)
        return _in_bands(picture, _conversion(picture, name))
    except ImageError:
        raise
    except Exception as error:
        raise _undecodable(name, error) from error


def _open(content: bytes) -> Image.Image:
    Image.init()  # formats whose plug-in is not there would be an error
    return Image.open(io.BytesIO(content), formats=[kind for kind in FORMATS if kind in Image.OPEN])


def _upright(picture: Image.Image) -> Image.Image:
    """Return the decoded picture turned as its EXIF orientation says; `picture` may be closed."""
    picture.load()  # TIFF turns itself, and has no orientation left after that
    if len(picture.info.get("exif") or b"") > MAX_EXIF_BYTES:
        return picture
    try:
        orientation: Any = picture.getexif().get(ExifTags.Base.Orientation)
        turn = _TURNS.get(orientation)
    except Exception:  # damaged metadata says nothing about the pixels
        return picture
    if turn is None:
        return picture
    turned = picture.transpose(turn)
    picture.close()  # gives its memory back: two are enough
    return turned


def _conversion(picture: Image.Image, name: str) -> Callable[[Image.Image], NDArray[np.uint8]]:
    """Return how a part of this picture becomes `(H, W, 3)` BGR or `(H, W, 1)` grey."""
    if picture.mode.startswith("I;16"):
        return lambda part: _scale_16_bits(np.asarray(part))[:, :, None]
    if picture.mode != "I":
        return _bgr_of_8_bits
    low, high = picture.getextrema()
    if low < 0 or high > 65535:  # type: ignore[operator]  # two numbers, as there is one channel
        raise ImageError(
            f"{name} holds values from {low} to {high}, expected 0 to 255 (8 bits) or "
            "0 to 65535 (16 bits); scale it first"
        )
    if high <= 255:  # type: ignore[operator]
        return lambda part: np.asarray(part).astype(np.uint8)[:, :, None]
    return lambda part: _scale_16_bits(np.asarray(part))[:, :, None]


def _bgr_of_8_bits(part: Image.Image) -> NDArray[np.uint8]:
    if part.mode == "La":  # Pillow knows no direct way from premultiplied grey to RGB
        part = part.convert("LA")
    if part.mode != "RGB":
        part = part.convert("RGB")
    pixels = np.frombuffer(part.tobytes("raw", "BGR"), np.uint8)
    return pixels.reshape(part.height, part.width, 3)


def _scale_16_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return round(value / 257) of values in 0..65535."""
    return ((values.astype(np.int32) + 128) // 257).astype(np.uint8)


def _in_bands(
    picture: Image.Image, convert: Callable[[Image.Image], NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """Convert a picture some rows at a time; each pixel's result depends on that pixel only."""
    width, height = picture.size
    result = np.empty((height, width, 3), np.uint8)
    rows = max(BAND_PIXELS // width, 1)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        result[top:bottom] = convert(picture.crop((0, top, width, bottom)))
    return result


def _check_pixels(picture: Image.Image, name: str, max_pixels: int | None) -> None:
    width, height = picture.size
    limit = MAX_PIXELS if max_pixels is None else max_pixels
    if width == 0 or height == 0:
        raise ImageError(
            f"{name} is empty: height {height}, width {width}, expected at least one pixel; save "
            "it anew"
        )
    if width * height > limit:
        raise _too_many_pixels(name, picture.size, limit)


def _too_many_pixels(name: str, size: tuple[int, int], limit: int) -> ImageError:
    pixels = size[0] * size[1]
    return ImageError(
        f"{name} has {pixels} pixels (height {size[1]}, width {size[0]}), expected at most "
        f"{limit}; reduce it first, or pass max_pixels={pixels}"
    )


def _undecodable(name: str, error: Exception) -> ImageError:
    if isinstance(error, MemoryError):
        return ImageMemoryError(
            f"{name} cannot be decoded: there is not enough memory for it; reduce it first"
        )
    if isinstance(error, TooManyPixelsError):
        return _too_many_pixels(name, error.size, error.limit)
    if isinstance(error, Image.DecompressionBombError):
        return ImageError(
            f"{name} is larger than Pillow opens ({type(error).__name__}: {error}); reduce it "
            "first, or pass max_pixels= with the number of pixels that you expect"
        )
    return ImageError(
        f"{name} cannot be decoded ({type(error).__name__}: {error}), expected a complete, "
        "undamaged picture; save it anew"
    )
