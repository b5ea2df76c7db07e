"""Encoded images and PIL images, as BGR arrays."""

import io
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from modelscope_vitadapter.errors import ImageError, ImageMemoryError
from modelscope_vitadapter.images.arrays import array_to_bgr
from modelscope_vitadapter.images.bombs import refuse_bombs

MAX_PIXELS = 178_956_970
"""Largest image that is read unless told otherwise: where Pillow speaks of a decompression bomb."""

FORMATS = (
    *("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "HEIF", "JPEG2000", "MPO", "PPM"),
    *("ICO", "TGA", "PCX", "SGI", "QOI", "PSD"),
)
"""Pillow's formats that are read: those that images come in and that Pillow decodes itself. Of the
others, one starts a program (EPS: Ghostscript) and some replay drawing commands. HEIF needs a
plug-in of Pillow."""

BAND_PIXELS = 2**20  # converted at a time: beside Pillow's image and the result little is held
MAX_EXIF_BYTES = 2**22  # of EXIF data that is looked at: Pillow makes an object of each number

CheckSize = Callable[[str, tuple[int, int]], None]
"""Called with the name of an input and its `(height, width)` before its pixels are decoded; raises
where they can't be taken."""


def decode_image(
    content: bytes, name: str, *, max_pixels: int | None = None, check_size: CheckSize | None = None
) -> NDArray[Any]:
    """Decodes an image of one of `FORMATS`; of an animation the first frame.

    The pixels are those of ModelScope's `load_image`, upright as EXIF says. Other than there,
    16-bit grey images are scaled, not clipped, and EXIF data that can't be read is passed over.

    Args:
        content: the whole file.
        name: how error messages call the input.
        max_pixels: most pixels; if None, `MAX_PIXELS`, or Pillow's own limit where the program
            has lowered it.
        check_size: see `CheckSize`.

    Returns:
        `(H, W, 3)` BGR uint8 in 0..255 (float32 for an image of floats), C-contiguous, writable.

    Raises:
        ImageMemoryError: the memory for it is not there.
        ImageError: the content is no image, is cut short, or asks for too much.
    """
    with _decoding(name), open_image(content, name, max_pixels) as image:
        if check_size is not None:
            check_size(name, (image.height, image.width))
        _turn_upright(image)
        return _to_bgr(image, name)


def pil_to_bgr(image: Image.Image, name: str, *, max_pixels: int | None = None) -> NDArray[Any]:
    """Turns a PIL image of any mode into a BGR image; arguments, result and errors as above.

    Orientation tags are not applied, as in the built-in pipeline, and alpha is dropped. 16-bit
    grey (`I;16`, and `I` with values above 255) becomes `round(value / 257)`, so that 65535 is
    white; `I` with values up to 255 is taken as it is; `F` stays float.
    """
    with _decoding(name):
        _check_pixels(image, name, max_pixels)
        return _to_bgr(image, name)


def open_image(content: bytes, name: str, max_pixels: int | None = None) -> ImageFile.ImageFile:
    """Opens an encoded image without decoding its pixels; arguments as above.

    `Image.open` does the same but for its limit on pixels: that is a setting of the whole process,
    so another limit for one call can't be had by it.

    Raises:
        ImageError: it is empty, of no such format, of no or too many pixels, or a bomb.
        Image.DecompressionBombError: its decoder keeps to Pillow's own limit (WebP, ICO).
    """
    if not content:
        raise ImageError(f"{name} is empty, expected an encoded image such as PNG; save it anew")
    refuse_bombs(content, name)
    Image.init()
    for factory, accept in (Image.OPEN[kind] for kind in FORMATS if kind in Image.OPEN):
        try:
            accepted = accept is None or accept(content[:16])
            if accepted and not isinstance(accepted, str):  # a text says why it is not read
                image = factory(io.BytesIO(content), "")
                break
        except (SyntaxError, IndexError, TypeError, struct.error):  # not of this format after all
            continue
    else:
        raise ImageError(
            f"{name} is no image that is read (it begins with {content[:12]!r}), expected one of "
            f"the formats {', '.join(FORMATS)}; convert it first"
        )
    _check_pixels(image, name, max_pixels)
    return image


def _check_pixels(image: Image.Image, name: str, max_pixels: int | None) -> None:
    width, height = image.size
    if width == 0 or height == 0:
        size = f"height {height}, width {width}"
        raise ImageError(f"{name} is empty: {size}, expected at least one pixel; save it anew")
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


def _turn_upright(image: Image.Image) -> None:
    """Decodes an image and turns it as its EXIF orientation says."""
    image.load()  # TIFF turns itself, and has no orientation left after that
    try:
        if len(image.info.get("exif") or b"") <= MAX_EXIF_BYTES:
            ImageOps.exif_transpose(image, in_place=True)
    except MemoryError:
        raise
    except Exception:  # damaged metadata says nothing about the pixels
        pass


def _to_bgr(image: Image.Image, name: str) -> NDArray[Any]:
    """Converts an image some rows at a time; each pixel's result depends on that pixel only."""
    image.load()  # a lazily opened image is decoded here
    if image.mode == "F":
        return array_to_bgr(np.asarray(image), name)
    has_16_bits = _has_16_bits(image, name)
    width, height = image.size
    result = np.empty((height, width, 3), np.uint8)
    pixels = min(BAND_PIXELS, Image.MAX_IMAGE_PIXELS or BAND_PIXELS)  # `crop` refuses more
    rows = max(pixels // width, 1)
    for top in range(0, height, rows):
        band = slice(top, min(top + rows, height))
        part = image.crop((0, band.start, width, band.stop))
        if image.mode.startswith("I"):
            grey = np.asarray(part).astype(np.int32)[:, :, None]
            result[band] = (grey + 128) // 257 if has_16_bits else grey
        else:
            result[band] = _bgr_of_8_bits(part)
    return result


def _has_16_bits(image: Image.Image, name: str) -> bool:
    """Whether 65535 is white; 32-bit integers may be values of 8 or of 16 bits."""
    if image.mode != "I":
        return image.mode.startswith("I;16")
    extrema: Any = image.getextrema()  # two numbers, as there is one channel
    low, high = extrema
    if low < 0 or high > 65535:
        raise ImageError(
            f"{name} holds values from {low} to {high}, expected 0 to 255 (8 bits) or "
            "0 to 65535 (16 bits); scale it first"
        )
    return bool(high > 255)


def _bgr_of_8_bits(part: Image.Image) -> NDArray[np.uint8]:
    if part.mode == "La":  # Pillow knows no direct way from premultiplied grey to RGB
        part = part.convert("LA")
    pixels = np.frombuffer(part.convert("RGB").tobytes("raw", "BGR"), np.uint8)
    return pixels.reshape(part.height, part.width, 3)
