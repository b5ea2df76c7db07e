"""Encoded images and PIL images, as BGR arrays."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from modelscope_vitadapter.errors import ImageError, ImageMemoryError
from modelscope_vitadapter.images.arrays import array_to_bgr
from modelscope_vitadapter.images.bombs import refuse_bombs
from modelscope_vitadapter.images.depth import (
    NEARLY_BLACK,
    WHITE_16,
    Limits,
    choose_limits,
    has_wide_colours,
    named_limits,
    range_hint,
    to_8_bits,
    wide_colours,
)
from modelscope_vitadapter.images.formats import FORMATS, open_format
from modelscope_vitadapter.images.limits import CheckSize, check_pixels, check_tiff_size
from modelscope_vitadapter.images.options import DEFAULT, ReadOptions
from modelscope_vitadapter.images.tiff import read_bands, turned
from modelscope_vitadapter.images.tiff_directory import (
    HEIGHT,
    MAX_SAMPLE,
    ORIENTATION,
    SAMPLES,
    WIDTH,
    Directory,
    is_tiff,
)

BAND_PIXELS = 2**20  # converted at a time: beside Pillow's image and the result little is held
MAX_BANDS = 6  # of a TIFF file that Pillow opens; of more it logs an error
MAX_EXIF_BYTES = 2**22  # of EXIF data that is looked at: Pillow makes an object of each number

AS_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""Takes back what an EXIF orientation did."""


def decode_image(
    content: bytes,
    name: str,
    *,
    options: ReadOptions = DEFAULT,
    check_size: CheckSize | None = None,
) -> NDArray[Any]:
    """Decodes an image of one of `FORMATS`; of an animation the first frame.

    The pixels are those of ModelScope's `load_image`, upright as EXIF says. Other than there,
    16-bit images are scaled by the range that the file names, not clipped, TIFF files that Pillow
    can't open are read with rasterio, and EXIF data that can't be read is passed over.

    Args:
        content: the whole file.
        name: how error messages call the input.
        options: how it is read; if `max_pixels` is None the limit is `MAX_PIXELS`, or Pillow's own
            where the program has lowered it. `bands` concern TIFF files only.
        check_size: see `CheckSize`.

    Returns:
        `(H, W, 3)` BGR uint8 in 0..255 (float32 for an image of floats without a `value_range`),
        C-contiguous, writable.

    Raises:
        ImageMemoryError: the memory for it is not there.
        ImageError: the content is no image, is cut short, or asks for too much.
    """
    return decode_oriented(content, name, options=options, check_size=check_size)[0]


def decode_oriented(
    content: bytes, name: str, *, options: ReadOptions, check_size: CheckSize | None
) -> tuple[NDArray[Any], int]:
    """As `decode_image`, with the file's EXIF orientation (1..8), whether applied or not."""
    with _decoding(name):
        if is_tiff(content):
            refuse_bombs(content, name)
            if options.bands is not None or _needs_rasterio(content):
                return read_bands(content, name, options, check_size)
        with open_image(content, name, options.max_pixels) as opened:
            if is_tiff(content):
                check_tiff_size(check_size, name, (opened.height, opened.width))
            elif check_size is not None:
                check_size(name, (opened.height, opened.width))
            unit = _unit(opened)
            image, orientation = decode_pixels(opened, apply=options.exif == "apply")
            if has_wide_colours(content, opened.mode):
                bgr = _to_bgr(image, name, DEFAULT, None, unit)
                turn = orientation if options.exif == "apply" else 1
                return _with_16_bits(content, bgr, name, options, turn), orientation
            return _to_bgr(image, name, options, named_limits(content), unit), orientation


def pil_to_bgr(image: Image.Image, name: str, *, options: ReadOptions = DEFAULT) -> NDArray[Any]:
    """Turns a PIL image of any mode into a BGR image; arguments, result and errors as above.

    Orientation tags are not applied, as in the built-in pipeline, and alpha is dropped. 16-bit
    grey (`I;16`, and `I` with values above 255) becomes `round(value / 257)`, so that 65535 is
    white, unless another range is given or named by a TIFF file's tags; `I` with values up to 255
    is taken as it is; `F` stays float.
    """
    with _decoding(name):
        check_pixels(name, (image.height, image.width), options.max_pixels)
        return _to_bgr(image, name, options, _limits_of_pil(image), _unit(image))


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
    image = open_format(content, name)
    if image is None:
        raise ImageError(
            f"{name} is no image that is read (it begins with {content[:12]!r}), expected one of "
            f"the formats {', '.join(FORMATS)}; convert it first"
        )
    size = (image.height, image.width)
    check_pixels(name, size, max_pixels, is_tiff=image.format == "TIFF")
    return image


def _needs_rasterio(content: bytes) -> bool:
    """Whether a TIFF file has a size and yet is none that Pillow opens."""
    directory = Directory.of(content)
    if directory is None or not directory.number(WIDTH, 0) or not directory.number(HEIGHT, 0):
        return False
    if directory.number(SAMPLES, 1) > MAX_BANDS:
        return True
    try:
        return open_format(content, "") is None
    except MemoryError:
        raise
    except Exception:  # of an unknown compression, say
        return True


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


def decode_pixels(image: ImageFile.ImageFile, *, apply: bool) -> tuple[Image.Image, int]:
    """Decodes an image, upright or as stored, and gives its EXIF orientation."""
    if image.format == "TIFF":  # turns itself while it is decoded, and has no orientation then
        orientation = _orientation(image)
        image.load()
        if apply or orientation == _orientation(image):
            return image, orientation
        return image.transpose(AS_STORED[orientation]), orientation
    image.load()
    orientation = _orientation(image)
    if apply:
        try:
            if len(image.info.get("exif") or b"") <= MAX_EXIF_BYTES:
                ImageOps.exif_transpose(image, in_place=True)
        except MemoryError:
            raise
        except Exception:  # damaged metadata says nothing about the pixels
            pass
    return image, orientation


def _orientation(image: Image.Image) -> int:
    """The orientation that Pillow applies, 1 where there is none or the data is damaged."""
    if len(image.info.get("exif") or b"") > MAX_EXIF_BYTES:
        return 1
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except MemoryError:
        raise
    except Exception:
        return 1
    return int(found) if isinstance(found, int) and 1 <= found <= 8 else 1


def _unit(image: Image.Image) -> float:
    """What one becomes in an image not decoded yet; Pillow scales PGM and PPM by their maximum."""
    tiles = getattr(image, "tile", None)
    if image.format != "PPM" or not tiles or not tiles[0][0].startswith("ppm"):
        return 1.0
    return float((WHITE_16 if image.mode == "I" else 255) / tiles[0][3][-1])


def _limits_of_pil(image: Image.Image) -> Limits | None:
    """The range that the tags of a TIFF file name, which a PIL image of it still has."""
    found = getattr(image, "tag_v2", {}).get(MAX_SAMPLE)
    high = max(found) if isinstance(found, tuple) and found else found
    return (0, high) if isinstance(high, int) and 256 <= high < WHITE_16 else None


def _to_bgr(
    image: Image.Image, name: str, options: ReadOptions, named: Limits | None, unit: float
) -> NDArray[Any]:
    """Converts an image some rows at a time; each pixel's result depends on that pixel only.

    `named` is the range that its file names, `unit` what a value of 1 there is in the image.
    """
    image.load()  # a lazily opened image is decoded here
    limits = options.value_range and [one * unit for one in options.value_range]
    if image.mode == "F":
        return array_to_bgr(np.asarray(image), name, value_range=limits)
    if image.mode.startswith("I") and (limits is not None or _has_16_bits(image, name)):
        values = np.asarray(image)
        known = (0, WHITE_16) if unit != 1 else named
        grey = to_8_bits(values, choose_limits(name, values, limits, known))
        return np.repeat(grey[:, :, None], 3, axis=2)
    width, height = image.size
    result = np.empty((height, width, 3), np.uint8)
    pixels = min(BAND_PIXELS, Image.MAX_IMAGE_PIXELS or BAND_PIXELS)  # `crop` refuses more
    rows = max(pixels // width, 1)
    for top in range(0, height, rows):
        band = slice(top, min(top + rows, height))
        part = image.crop((0, band.start, width, band.stop))
        if image.mode.startswith("I"):
            result[band] = np.asarray(part)[:, :, None]
        else:
            result[band] = _bgr_of_8_bits(part)
    return result if limits is None else to_8_bits(result, limits)


def _with_16_bits(
    content: bytes, bgr: NDArray[Any], name: str, options: ReadOptions, orientation: int
) -> NDArray[Any]:
    """Colours of a file of 16 bits by a range that is not all of them; else `bgr`, as Pillow gave.

    The file is decoded a second time, by OpenCV, only where there is, or may be, such a range. Of a
    compression that OpenCV lacks, Pillow's 8 bits have to do.
    """
    named = named_limits(content)
    if options.value_range is None and named is None and bgr.max() >= NEARLY_BLACK // 256:
        return bgr
    stored = wide_colours(content)
    values = bgr.astype(np.uint16) * 257 if stored is None else stored
    limits = choose_limits(name, values, options.value_range, named)
    if limits == (0, WHITE_16):
        return bgr
    scaled = to_8_bits(values, limits)
    return scaled if stored is None else turned(scaled, orientation)


def _has_16_bits(image: Image.Image, name: str) -> bool:
    """Whether 65535 is white; 32-bit integers may be values of 8 or of 16 bits."""
    if image.mode != "I":
        return image.mode.startswith("I;16")
    extrema: Any = image.getextrema()  # two numbers, as there is one channel
    low, high = extrema
    if low < 0 or high > 65535:
        raise ImageError(
            f"{name} holds values from {low} to {high}, expected 0 to 255 (8 bits) or "
            "0 to 65535 (16 bits); scale it first, or pass "
            f"{range_hint(low, high, exact=True)}"
        )
    return bool(high > 255)


def _bgr_of_8_bits(part: Image.Image) -> NDArray[np.uint8]:
    if part.mode == "La":  # Pillow knows no direct way from premultiplied grey to RGB
        part = part.convert("LA")
    pixels = np.frombuffer(part.convert("RGB").tobytes("raw", "BGR"), np.uint8)
    return pixels.reshape(part.height, part.width, 3)
