"""TIFF files beyond what Pillow opens (more bands, floats, 16-bit colours), read with rasterio."""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.errors import ImageError
from modelscope_vitadapter.hints import option
from modelscope_vitadapter.images import tiff_directory as tags
from modelscope_vitadapter.images.arrays import array_to_bgr
from modelscope_vitadapter.images.depth import (
    Limits,
    choose_limits,
    named_limits,
    range_hint,
    to_8_bits,
)
from modelscope_vitadapter.images.limits import CheckSize, check_pixels, check_tiff_size
from modelscope_vitadapter.images.options import ReadOptions
from modelscope_vitadapter.images.tiff_directory import Directory

MAX_DECODED = 2**32  # bytes of all bands, which are decoded together where they are interleaved
MAX_BLOCK = 2**30  # bytes of a tile, which is decoded as a whole
CHEAP = 2**24  # values that are looked at for a message
CACHE = 2**26  # bytes that GDAL keeps of decoded blocks

COLOURS_READ = {(1, None), (2, None), (6, 7)}
"""PhotometricInterpretation (TIFF 6.0, page 37) whose bands GDAL gives as grey or RGB: these two,
and YCbCr where the compression is JPEG."""

NO_COLOURS = ("palette", "cyan")
"""What GDAL says of a first band that is an index or an ink."""


def read_bands(
    content: bytes, name: str, options: ReadOptions, check_size: CheckSize | None
) -> tuple[NDArray[Any], int]:
    """Reads bands of a TIFF file as red, green and blue, or one as grey.

    Arguments, result and errors are those of `decode.decode_oriented`; `refuse_bombs` has passed.
    NaN and the file's nodata value are black.
    """
    directory = Directory.of(content)
    if directory is None:
        raise ImageError(f"{name} is a TIFF file without a directory; save it anew")
    size = (directory.number(tags.HEIGHT, 0), directory.number(tags.WIDTH, 0))
    check_pixels(name, size, options.max_pixels, is_tiff=True)
    check_tiff_size(check_size, name, size)
    _check_amount(directory, name, size)
    if options.bands is None:
        _check_photometric(directory, name)
    rasterio = import_rasterio(f"{name} is a TIFF of {kind_of(directory)}")
    # GTiff and nothing else: other drivers follow what a file says to other files.
    with (
        environment(rasterio),
        rasterio.MemoryFile(content) as file,
        file.open(driver="GTiff") as source,
    ):
        check_pixels(name, source.shape, options.max_pixels, is_tiff=True)
        indexes = choose_bands(source, name, options)
        values = source.read(indexes)
        hidden = hidden_pixels(values, [source.nodatavals[one - 1] for one in indexes])
    seen = values[:, ~hidden] if hidden.any() else values
    limits = limits_of(seen, name, options, named_limits(content))
    del seen
    orientation = directory.number(tags.ORIENTATION, 1)
    orientation = orientation if 1 <= orientation <= 8 else 1
    bgr = bands_to_bgr(values, hidden, limits)
    if bgr.dtype != np.uint8:
        bgr = array_to_bgr(bgr, name)  # which warns where 1 seems to be white
    return turned(bgr, orientation if options.exif == "apply" else 1), orientation


def import_rasterio(what: str) -> ModuleType:
    """The package rasterio; the error, where it is missing, begins with what needs it."""
    try:
        import rasterio
    except ImportError as error:
        raise ImageError(
            f"{what}, which is read with rasterio; install it "
            "(pip install modelscope-vitadapter[geo]), or convert the image first"
        ) from error
    module: ModuleType = rasterio
    return module


@contextmanager
def environment(rasterio: ModuleType, **settings: Any) -> Iterator[None]:
    """GDAL as it reads files of strangers: nothing beside the file, and little kept of it."""
    alone = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_CACHEMAX": CACHE} | settings
    with warnings.catch_warnings(), rasterio.Env(**alone):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        yield


def choose_bands(source: Any, name: str, options: ReadOptions) -> list[int]:
    """The numbers, from 1 on, of three bands or of one, of an open file of rasterio's.

    Raises:
        ImageError: there are no such bands, or more than four and none is chosen.
    """
    count: int = source.count
    if options.bands is not None:
        if max(options.bands) > count:
            raise ImageError(
                f"{name} has {count} bands, counted from 1, expected at least "
                f"{max(options.bands)} for {option('bands', tuple(options.bands))}"
            )
        return list(options.bands)
    colour = source.colorinterp[0].name
    if colour in NO_COLOURS:
        raise ImageError(f"{name} holds colours as {colour}, expected RGB or grey; convert it")
    if count <= 4:
        return [1, 2, 3] if count > 2 else [1]
    kind, seen, hint = source.dtypes[0], "", ""
    if source.width * source.height * count <= CHEAP:
        values = source.read()
        shown = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        if shown.size:
            low, high = shown.min().item(), shown.max().item()
            seen = f", values {low} to {high}"
            hint = range_hint(low, high, exact=values.dtype.kind == "f")
    hint = f", and black and white with {hint or option('value_range', (0, 4095))}"
    raise ImageError(
        f"{name} is a TIFF of {count} bands, {kind}{seen}; expected at most 4: choose red, green "
        f"and blue with {option('bands', (3, 2, 1))}{'' if kind == 'uint8' else hint}"
    )


def hidden_pixels(values: NDArray[Any], nodata: Sequence[float | None]) -> NDArray[np.bool_]:
    """Which pixels `(H, W)` of bands `(C, H, W)` have no data: NaN, or nodata in all of them."""
    hidden = np.ones(values.shape[1:], np.bool_)
    for band, absent in zip(values, nodata, strict=True):
        missing = np.zeros(band.shape, np.bool_) if absent is None else band == absent
        hidden &= missing | np.isnan(band) if band.dtype.kind == "f" else missing
    return hidden


def limits_of(
    values: NDArray[Any], name: str, options: ReadOptions, named: Limits | None
) -> Limits | None:
    """What is black and white among values; None where they are taken as they are.

    Raises:
        ImageError: they are of no image, and no `value_range` says what they are.
    """
    given, kind = options.value_range, values.dtype
    if kind.kind not in "uif":
        raise ImageError(f"{name} holds values of type {kind}, expected real numbers; convert it")
    if given is not None:
        return (given[0], given[1])
    if kind == np.uint16:
        return choose_limits(name, values, None, named)
    low, high = 0, 0
    if values.size:  # other than `min` and `max`, these prefer a number to NaN
        low = np.fmin.reduce(values, axis=None).item()
        high = np.fmax.reduce(values, axis=None).item()
    most = 255 if kind.kind == "f" else 65535
    if low < 0 or high > most:
        raise ImageError(
            f"{name} holds values from {low} to {high} ({kind}), expected 0 to {most}; say what "
            f"is black and white with {range_hint(low, high, exact=True)}"
        )
    return choose_limits(name, values, None, named) if high > 255 else None


def bands_to_bgr(
    values: NDArray[Any], hidden: NDArray[np.bool_], limits: Limits | None
) -> NDArray[Any]:
    """Bands `(1 or 3, H, W)`, grey or RGB, as `(H, W, 3)` BGR; what is hidden, or NaN, is black."""
    dtype = np.float32 if limits is None and values.dtype.kind == "f" else np.uint8
    result = np.empty((*values.shape[1:], 3), dtype)
    for place in range(3):
        band = values[0 if len(values) == 1 else 2 - place]
        if limits is not None:
            band = to_8_bits(band, limits)
        elif band.dtype.kind == "f":
            band = np.nan_to_num(band, nan=0, posinf=255, neginf=0)
        result[:, :, place] = band
    result[hidden] = 0
    return result


def turned(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """An image `(H, W, C)` as stored, made upright as its EXIF orientation (1..8) says."""
    if orientation >= 5:
        image = image.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def kind_of(directory: Directory) -> str:
    """Number and type of a file's bands, for messages."""
    count, bits = directory.number(tags.SAMPLES, 1), directory.number(tags.BITS, 1)
    words = {2: "int", 3: "float", 5: "complex int", 6: "complex"}
    kind = words.get(directory.number(tags.SAMPLE_FORMAT, 1), "uint")
    return f"{count} band{'s' if count > 1 else ''}, {kind}{bits}"


def _check_amount(directory: Directory, name: str, size: tuple[int, int]) -> None:
    """Refuses what takes very long to decode: all bands, or a single tile, may be huge."""
    pixel = directory.number(tags.SAMPLES, 1) * math.ceil(directory.number(tags.BITS, 1) / 8)
    tile = directory.number(tags.TILE_WIDTH, 0) * directory.number(tags.TILE_HEIGHT, 0)
    for amount, most in ((size[0] * size[1] * pixel, MAX_DECODED), (tile * pixel, MAX_BLOCK)):
        if amount > most:
            raise ImageError(
                f"{name} is a TIFF of {kind_of(directory)}, which takes {amount} bytes to decode, "
                f"expected at most {most}; cut it into parts, or save it with fewer bands"
            )


def _check_photometric(directory: Directory, name: str) -> None:
    found = directory.number(tags.PHOTOMETRIC, 1)
    if not {(found, None), (found, directory.number(tags.COMPRESSION, 1))} & COLOURS_READ:
        raise ImageError(
            f"{name} is a TIFF of {kind_of(directory)}, whose colours are of a kind "
            f"(PhotometricInterpretation {found}) that is not read so; convert it first, or choose "
            f"what is red, green and blue with {option('bands', (3, 2, 1))}"
        )
