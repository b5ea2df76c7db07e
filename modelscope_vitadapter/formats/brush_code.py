"""Label Studio's run-length code of brush masks: that of the library rle-pack of thi.ng/umbrella.

Bits, the highest of a byte first: how many values there are (32 bits), bits of a value minus 1 (5),
four sizes minus 1 (4 each), then pieces until all values are there. A piece is one bit, which says
whether a value is repeated; the index of a size (2); how many values minus 1, in as many bits as
that size says; and the value once if it is repeated, or otherwise all values. A mask is four values
of 8 bits a pixel: red, green, blue and opacity.
"""

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.datasets.polygons import Size
from modelscope_vitadapter.errors import DataSetError

VALUE_BITS, SIZES, CHANNELS, OPAQUE = 8, np.array([3, 4, 8, 16]), 4, 255
MOST = 2**16  # values in a piece


def encode(counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Bytes of a mask.

    Args:
        counts: run lengths in pixels, row by row, the first of background.
    """
    values = np.where(np.arange(len(counts)) % 2 == 1, OPAQUE, 0)
    lengths = counts * CHANNELS
    pieces = -(-lengths // MOST)
    last = np.cumsum(pieces)[pieces > 0] - 1
    values, length = np.repeat(values, pieces), np.full(int(pieces.sum()), MOST)
    length[last] = (lengths - (pieces - 1) * MOST)[pieces > 0]
    size = np.searchsorted(2**SIZES, length)
    code = (((4 | size) << SIZES[size]) | (length - 1)) << VALUE_BITS | values
    head = [int(lengths.sum()), VALUE_BITS - 1, *(SIZES - 1)]
    return _pack(
        np.append(head, code), np.append([32, 5, 4, 4, 4, 4], 3 + SIZES[size] + VALUE_BITS)
    )


def decode(content: bytes, size: Size, what: str) -> NDArray[np.bool_]:
    """The pixels `(H, W)` of a mask that are not transparent; DataSetError where it has others."""
    bits = (np.unpackbits(np.frombuffer(content, np.uint8)) + ord("0")).tobytes().decode()
    place, total = 0, size[0] * size[1] * CHANNELS

    def number(width: int) -> int:
        nonlocal place
        place += width
        return int(bits[place - width : place], 2)

    values, lengths, there = list[int](), list[int](), 0
    try:
        known = number(32) == total
        width = number(5) + 1
        sizes = [number(4) + 1 for _ in range(4)]
        while known and there < total:
            repeated = number(1)
            length = number(sizes[number(2)]) + 1
            there += length
            values += [number(width) for _ in range(1 if repeated else length)]
            lengths += [length] if repeated else [1] * length
    except ValueError:  # the bits are at an end
        known = False
    if not known or there != total or place > len(bits):
        raise DataSetError(
            f"{what} has a mask that can't be read; expected the run-length code of {size[0]} x "
            f"{size[1]} pixels with {CHANNELS} values each"
        )
    pixels: NDArray[np.bool_] = np.repeat(np.array(values) > 0, lengths)
    return pixels.reshape(*size, CHANNELS)[:, :, -1]


def _pack(codes: NDArray[np.int64], widths: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Numbers of so many bits each, one after the other, as bytes."""
    ends = np.repeat(np.cumsum(widths), widths)
    shift = ends - np.arange(len(ends)) - 1
    return np.packbits((np.repeat(codes, widths) >> shift & 1).astype(np.uint8))
