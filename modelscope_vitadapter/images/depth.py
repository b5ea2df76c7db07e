"""Values of more than 8 bits as 8 bits, by the range that the caller or the file names."""

import struct
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.hints import option
from modelscope_vitadapter.images import tiff_directory as tags
from modelscope_vitadapter.images.tiff_directory import Directory, is_tiff
from modelscope_vitadapter.logs import warn_once

Limits = tuple[float, float]
"""Values that are black and white."""

WHITE_16 = 65535
NEARLY_BLACK = (WHITE_16 + 1) // 8  # of 16 bits: an image below it uses at most 13
PART = 2**20  # values that are scaled at a time

_PNG, _HEAD = b"\x89PNG\r\n\x1a\n", 33  # bytes of the signature with the first chunk
_PNG_COLOURS = {2: 3, 4: 1, 6: 3}  # channels beside alpha of the types that Pillow cuts to 8 bits


def to_8_bits(values: NDArray[Any], limits: Sequence[float]) -> NDArray[np.uint8]:
    """Scales real numbers of any shape so that the limits become 0 and 255.

    They are rounded and clipped; NaN becomes 0.
    """
    low, high = (float(one) for one in limits)
    table = None
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
        table = _scaled(np.arange(2 ** (8 * values.dtype.itemsize)), low, high)
    result = np.empty(values.shape, np.uint8)
    rows = max(PART // max(values[:1].size, 1), 1)
    for top in range(0, len(values), rows):
        part = values[top : top + rows]
        result[top : top + rows] = _scaled(part, low, high) if table is None else table[part]
    return result


def _scaled(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    scaled = (values.astype(np.float64) - low) * (255 / (high - low))
    # Other than `clip`, these two prefer a number to NaN.
    return np.rint(np.fmin(np.fmax(scaled, 0), 255)).astype(np.uint8)


def choose_limits(
    name: str, values: NDArray[Any], given: Sequence[float] | None, named: Limits | None
) -> Limits:
    """The limits of values of 16 bits: those given, those that the file names, or all of them.

    What a file names counts only where no value is beyond it. Without it, a warning is logged,
    once in a process, where the image would be nearly black.
    """
    if given is not None:
        return (given[0], given[1])
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if named is not None and high <= named[1]:
        return named
    if 0 < high < NEARLY_BLACK:
        warn_once(
            "nearly black",
            "%s holds values from %s to %s of 65535, which is nearly black; if it uses fewer than "
            "16 bits, pass %s. This is said once",
            *(name, low, high, range_hint(0, high)),
        )
    return (0, WHITE_16)


def range_hint(low: float, high: float, *, exact: bool = False) -> str:
    """The option that names a range: that of so many bits, or the values' own."""
    if exact or low < 0:
        return option("value_range", (low, high))
    return option("value_range", (0, 2 ** max(int(high), 1).bit_length() - 1))


def named_limits(content: bytes) -> Limits | None:
    """The range that a PNG or TIFF file of 16-bit values names where it is less than 16 bits.

    Sources: PNG specification (third edition) 11.3.2.5, sBIT; TIFF 6.0 pages 34 and 80.
    """
    if content.startswith(_PNG):
        return _limits_of_png(content)
    directory = Directory.of(content) if is_tiff(content) else None
    if directory is None:
        return None
    bits = directory.number(tags.BITS, 1)
    if 8 < bits < 16:
        return (0, 2**bits - 1)
    for lowest, highest in (
        (tags.MIN_SAMPLE, tags.MAX_SAMPLE),
        (tags.SMIN_SAMPLE, tags.SMAX_SAMPLE),
    ):
        high = max(directory.numbers(highest), default=0)
        if 256 <= high < WHITE_16:
            low = min(directory.numbers(lowest), default=0)
            return (low if 0 <= low < high else 0, high)
    return None


def _limits_of_png(content: bytes) -> Limits | None:
    place, colour = len(_PNG), content[25:26]
    while place + 8 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        kind = content[place + 4 : place + 8]
        if kind == b"sBIT":
            found = content[place + 8 : place + 8 + min(length, 4)]
            bits = max(found[: 3 if colour in (b"\2", b"\6") else 1], default=0)
            return (0, 2**bits - 1) if 0 < bits < 16 else None
        if kind == b"IDAT":
            break
        place += length + 12
    return None


def has_wide_colours(content: bytes, mode: str) -> bool:
    """Whether a file has colours of 16 bits, of which Pillow, in `mode`, gives 8."""
    if content.startswith(_PNG):
        return content[24:25] == b"\x10" and content[25] in _PNG_COLOURS
    directory = Directory.of(content) if is_tiff(content) else None
    return directory is not None and directory.number(tags.BITS, 1) == 16 and mode[:3] == "RGB"


def wide_colours(content: bytes) -> NDArray[np.uint16] | None:
    """All 16 bits of a file with wide colours, `(H, W, 3)` BGR as stored; None where it fails.

    It is for files that Pillow has decoded and that have passed this package's own checks.
    """
    directory = Directory.of(content) if is_tiff(content) else None
    if directory is not None:
        content = directory.without_orientation()  # which OpenCV applies, or not, by its version
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if pixels is None or pixels.dtype != np.uint16:
        return None
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], 3, axis=2)
    return pixels[:, :, :3] if pixels.shape[2] >= 3 else np.repeat(pixels[:, :, :1], 3, axis=2)
