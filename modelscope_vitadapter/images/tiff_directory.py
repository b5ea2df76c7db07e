"""The first directory of a TIFF file, read from its bytes before any decoder sees them."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

WIDTH, HEIGHT, BITS, PHOTOMETRIC, ORIENTATION, SAMPLES = 256, 257, 258, 262, 274, 277
COMPRESSION = 259
TILE_WIDTH, TILE_HEIGHT = 322, 323
MIN_SAMPLE, MAX_SAMPLE, SAMPLE_FORMAT, SMIN_SAMPLE, SMAX_SAMPLE = 280, 281, 339, 340, 341

NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 16: "Q", 17: "q"}
"""TIFF's types that are numbers, as `struct` calls them."""

MAX_NUMBERS = 2**16  # of one entry that are read: one for each of the most samples


def is_tiff(content: bytes) -> bool:
    """Whether a file begins like a TIFF or BigTIFF file."""
    return content.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"))


@dataclass(frozen=True)
class Directory:
    """Where a TIFF file's first directory stands, and how its numbers are written."""

    content: bytes
    order: str  # of bytes, as `struct` writes it
    large: bool  # BigTIFF
    start: int  # byte of the first entry
    count: int  # of entries, as the file claims

    @classmethod
    def of(cls, content: bytes) -> "Directory | None":
        """Finds the directory; None where the file ends before it."""
        order = "<" if content.startswith(b"I") else ">"
        large = b"+" in content[2:4]
        head, count = ("Q", "Q") if large else ("I", "H")
        try:
            (start,) = struct.unpack_from(order + head, content, 8 if large else 4)
            (number,) = struct.unpack_from(order + count, content, start)
        except (struct.error, OverflowError):
            return None
        return cls(content, order, large, start + struct.calcsize(order + count), number)

    def entries(self) -> Iterator[tuple[int, int, int, int]]:
        """Tag, type, number of elements and the byte where the value or its place stands."""
        entry = self.order + ("HHQ8x" if self.large else "HHI4x")
        size = struct.calcsize(entry)
        whole = max(min(self.count, (len(self.content) - self.start) // size), 0)
        part = memoryview(self.content)[self.start : self.start + whole * size]
        for number, (tag, kind, elements) in enumerate(struct.iter_unpack(entry, part)):
            value = self.start + number * size + (12 if self.large else 8)
            yield tag, kind, elements, value

    def numbers(self, wanted: int) -> tuple[float, ...]:
        """The numbers of a tag; empty where it is not there, holds none or points outside."""
        for tag, kind, elements, place in self.entries():
            if tag == wanted and kind in NUMBERS and elements <= MAX_NUMBERS:
                form = f"{self.order}{elements}{NUMBERS[kind]}"
                try:
                    if struct.calcsize(form) > (8 if self.large else 4):
                        pointer = self.order + ("Q" if self.large else "I")
                        (place,) = struct.unpack_from(pointer, self.content, place)
                    return struct.unpack_from(form, self.content, place)
                except (struct.error, OverflowError):
                    return ()
        return ()

    def number(self, wanted: int, default: int) -> int:
        """The first number of a tag as a whole number."""
        found = self.numbers(wanted)
        try:
            return int(found[0]) if found else default
        except (ValueError, OverflowError):  # NaN, infinite
            return default

    def without_orientation(self) -> bytes:
        """The file with its orientation set to upright, so that no decoder turns it."""
        for tag, kind, elements, place in self.entries():
            if tag == ORIENTATION and kind in NUMBERS and elements == 1:
                changed = bytearray(self.content)
                struct.pack_into(self.order + NUMBERS[kind], changed, place, 1)
                return bytes(changed)
        return self.content
