"""Encoded images and PIL images, as BGR arrays."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile

from modelscope_vitadapter.errors import ImageError, ImageMemoryError
from modelscope_vitadapter.images.arrays import array_to_bgr
from modelscope_vitadapter.images.bombs import refuse_bombs

MAX_PIXELS = 178_956_970
"""Largest image that is read unless told otherwise, in pixels: where Pillow's default speaks of a
decompression bomb."""

FORMATS = (
    *("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "HEIF", "JPEG2000", "MPO", "PPM"),
    *("ICO", "TGA", "PCX", "SGI", "QOI", "PSD"),
)
"""Pillow's formats that are read: those that images come in and that Pillow decodes itself. Of the
others, one starts a program (EPS: Ghostscript) and some replay drawing commands. HEIF needs a
plug-in of Pillow."""

BAND_PIXELS = 2**20
"""Pixels that are converted at a time: beside Pillow's image and the result little is held."""

MAX_EXIF_BYTES = 2**22
"""EXIF data that is looked at: Pillow makes an object of each number in it. Cameras write
64 KiB at most."""

CheckSize = Callable[[str, tuple[int, int]], None]
"""Called with the name of an input and its `(height, width)` before its pixels are decoded; raises
where they can't be taken."""

_Convert = Callable[[Image.Image], NDArray[np.uint8]]

_TURNS = {  # EXIF 2.32, 4.6.4 A: how the image is set upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_image(
    content: bytes,
    name: str,
    *,
    max_pixels: int | None = None,
    check_size: CheckSize | None = None,
) -> NDArray[Any]:
    """Decodes an image of one of `FORMATS`.

    Ordinary images give what ModelScope's `load_image` gives: the orientation of EXIF is applied,
    then the image is converted to RGB. Of an animation the first frame counts. Other than there,
    16-bit grey images are scaled (see `pil_to_bgr`), not clipped, and EXIF data that can't be read
    is passed over.

    Args:
        content: the whole file.
        name: how error messages call the input.
        max_pixels: see `check_pixels`.
        check_size: see `CheckSize`.

    Returns:
        `(H, W, 3)` BGR uint8 in 0..255 (float32 for an image of floats), C-contiguous, writable.

    Raises:
        ImageMemoryError: the memory for it is not there.
        ImageError: the content is no image, is cut short, has too many pixels, or asks for far
            more work than its pixels (see `refuse_bombs`).
    """
    with _decoding(name), open_image(content, name) as image:
        check_pixels(image, name, max_pixels)
        if check_size is not None:
            check_size(name, (image.height, image.width))
        return _to_bgr(_upright(image), name)


def pil_to_bgr(image: Image.Image, name: str, *, max_pixels: int | None = None) -> NDArray[Any]:
    """Turns a PIL image of any mode into a BGR image.

    Orientation tags of a PIL image are not applied, as in the built-in pipeline. Alpha is
    dropped. 16-bit grey (`I;16`, and `I` with values above 255) becomes `round(value / 257)`, so
    that 65535 is white; `I` with values up to 255 is taken as it is; `F` stays float.

    Args:
        image: it is loaded if it was opened lazily, and never modified.
        name: how error messages call the input.
        max_pixels: see `check_pixels`.

    Returns:
        As `decode_image`.

    Raises:
        ImageMemoryError: the memory for it is not there.
        ImageError: the image is empty, too large, cut short, or holds values outside its range.
    """
    check_pixels(image, name, max_pixels)
    with _decoding(name):
        return _to_bgr(image, name)


def open_image(content: bytes, name: str, formats: Sequence[str] = FORMATS) -> ImageFile.ImageFile:
    """Opens an encoded image without decoding its pixels.

    `Image.open` does the same but for its limit on pixels: that is a setting of the whole process,
    so another limit for one call can't be had by it. The caller checks, see `check_pixels`.

    Args:
        content: the whole file.
        name: how error messages call the input.
        formats: what it may be, in Pillow's words; those that this Pillow lacks are passed over.

    Raises:
        ImageError: the content is empty, of no such format, or a bomb (see `refuse_bombs`).
        Image.DecompressionBombError: its decoder keeps to Pillow's own limit (WebP, ICO).
    """
    if not content:
        raise ImageError(
            f"{name} is empty, expected an encoded image such as JPEG or PNG; save it anew"
        )
    refuse_bombs(content, name)
    Image.init()
    for factory, accept in (Image.OPEN[kind] for kind in formats if kind in Image.OPEN):
        try:
            accepted = accept is None or accept(content[:16])
            if accepted and not isinstance(accepted, str):  # a text says why it is not read
                return factory(io.BytesIO(content), "")
        except (SyntaxError, IndexError, TypeError, struct.error):  # not of this format after all
            continue
    raise ImageError(
        f"{name} is no image that is read (it begins with {content[:12]!r}), expected an encoded "
        f"image such as JPEG or PNG, of the formats {', '.join(formats)}; convert it first"
    )


def check_pixels(image: Image.Image, name: str, max_pixels: int | None = None) -> None:
    """Refuses an image without pixels, or with too many, by its size alone.

    Args:
        image: of any mode, decoded or not.
        name: how error messages call the input.
        max_pixels: most pixels; if None, `MAX_PIXELS`, or Pillow's own limit where the program
            has lowered it.

    Raises:
        ImageError: it is empty or too large.
    """
    width, height = image.size
    if width == 0 or height == 0:
        raise ImageError(
            f"{name} is empty: height {height}, width {width}, expected at least one pixel; save "
            "it anew"
        )
    if max_pixels is None:
        pillows = Image.MAX_IMAGE_PIXELS  # Pillow warns above it, and refuses above twice as many
        max_pixels = MAX_PIXELS if pillows is None else min(MAX_PIXELS, 2 * pillows)
    if width * height > max_pixels:
        raise ImageError(
            f"{name} has {width * height} pixels (height {height}, width {width}), expected at "
            f"most {max_pixels}; reduce it first, or pass max_pixels={width * height}"
        )


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Pillow's errors, which are of many classes where files are damaged, as this package's."""
    try:
        yield
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageMemoryError(
            f"{name} can't be decoded: there is not enough memory for it; reduce it first"
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{name} is larger than Pillow reads of its format ({error}); reduce it first, save "
            "it as PNG, or raise PIL.Image.MAX_IMAGE_PIXELS"
        ) from error
    except Exception as error:
        raise ImageError(
            f"{name} can't be decoded ({type(error).__name__}: {error}), expected a complete, "
            "undamaged image; save it anew"
        ) from error


def _upright(image: Image.Image) -> Image.Image:
    """The decoded image, turned as its EXIF orientation says; `image` may be closed."""
    image.load()  # TIFF turns itself, and has no orientation left after that
    if len(image.info.get("exif") or b"") > MAX_EXIF_BYTES:
        return image
    try:
        orientation: Any = image.getexif().get(ExifTags.Base.Orientation)
        turn = _TURNS.get(orientation)
    except Exception:  # damaged metadata says nothing about the pixels
        return image
    if turn is None:
        return image
    turned = image.transpose(turn)
    image.close()  # gives its memory back: two are enough
    return turned


def _to_bgr(image: Image.Image, name: str) -> NDArray[Any]:
    """Converts an image some rows at a time; each pixel's result depends on that pixel only."""
    image.load()  # a lazily opened image is decoded here
    if image.mode == "F":
        return array_to_bgr(np.asarray(image), name)
    convert = _conversion(image, name)
    width, height = image.size
    result = np.empty((height, width, 3), np.uint8)
    pixels = min(BAND_PIXELS, Image.MAX_IMAGE_PIXELS or BAND_PIXELS)  # `crop` refuses more
    rows = max(pixels // width, 1)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        result[top:bottom] = convert(image.crop((0, top, width, bottom)))
    return result


def _conversion(image: Image.Image, name: str) -> _Convert:
    """How a part of this image becomes `(H, W, 3)` BGR or `(H, W, 1)` grey."""
    if image.mode.startswith("I;16"):
        return _scale_16_bits
    if image.mode != "I":
        return _bgr_of_8_bits
    low, high = image.getextrema()
    if low < 0 or high > 65535:  # type: ignore[operator]  # two numbers, as there is one channel
        raise ImageError(
            f"{name} holds values from {low} to {high}, expected 0 to 255 (8 bits) or "
            "0 to 65535 (16 bits); scale it first"
        )
    if high <= 255:  # type: ignore[operator]
        return lambda part: np.asarray(part).astype(np.uint8)[:, :, None]
    return _scale_16_bits


def _bgr_of_8_bits(part: Image.Image) -> NDArray[np.uint8]:
    if part.mode == "La":  # Pillow knows no direct way from premultiplied grey to RGB
        part = part.convert("LA")
    if part.mode != "RGB":
        part = part.convert("RGB")
    pixels = np.frombuffer(part.tobytes("raw", "BGR"), np.uint8)
    return pixels.reshape(part.height, part.width, 3)


def _scale_16_bits(part: Image.Image) -> NDArray[np.uint8]:
    """Grey values in 0..65535 as round(value / 257)."""
    values = (np.asarray(part).astype(np.int32) + 128) // 257
    return values.astype(np.uint8)[:, :, None]
