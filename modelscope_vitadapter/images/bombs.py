"""Pictures that are small as files and take hours or all memory to decode.

Pillow refuses pictures of too many pixels. Here is what a limit on pixels does not bound, told from
the bytes before Pillow sees them.
"""

from __future__ import annotations

import re
import struct

from modelscope_vitadapter.errors import ImageError

MAX_SCANS = 100
"""Passes over a JPEG's pixels, which each can take a few bytes. Files in use have some ten; libtiff
refuses more than 100 as well (`LIBTIFF_JPEG_MAX_ALLOWED_SCAN_NUMBER`)."""

MAX_EXIF_PARTS = 64
"""Segments of 64 KiB that a JPEG's EXIF data may have; each copies all that came before it."""

MAX_TABLE = 2**18
"""Numbers in one entry of a TIFF file's directory, and entries in it.

A picture of 65536 rows of four channels has as many strips at most. Pillow makes objects of some
hundred bytes of each.
"""

# A marker; not a stuffed byte, a restart within the pixels, or one of several 0xFF before a marker.
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_WITHOUT_LENGTH = {0x01, 0xD8, 0xD9}
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = {0xC0, 0xC1, 0xC3, 0xC9, 0xCB}
_SCAN, _END, _EXIF = 0xDA, 0xD9, 0xE1

_STRIPS = {273, 279, 324, 325}
_BYTES = {1, 2, 7}
"""TIFF's types of which Pillow makes no object for each element."""


def refuse_bombs(content: bytes, name: str) -> None:
    """Refuse a picture whose bytes ask for far more work than its pixels.

    Args:
        content: The whole file.
        name: How error messages call it.

    Raises:
        ImageError: A JPEG has more than `MAX_SCANS` scans or `MAX_EXIF_PARTS` segments of EXIF
            data; or a TIFF file's directory has more than `MAX_TABLE` entries, or numbers in one.
    """
    if content.startswith(b"\xff\xd8"):
        _check_jpeg(content, name)
    elif content[:2] in (b"II", b"MM") and content[2:4] in (b"*\0", b"\0*", b"+\0", b"\0+"):
        _check_tiff(content, name)


def _check_jpeg(content: bytes, name: str) -> None:
    position, scans, exif_parts, frame = 2, 0, 0, b""
    while (marker := _MARKER.search(content, position)) is not None:
        kind, position = marker[1][0], marker.end()
        if kind == _END and scans:
            return
        if kind in _WITHOUT_LENGTH:
            continue
        segment = content[position : position + 8]
        if kind in _FRAMES:
            frame = marker[1] + segment
        elif kind == _SCAN:
            scans += 1
            # All channels of a file without refinements at once: libjpeg stops after this scan.
            if scans == 1 and frame and frame[0] in _SEQUENTIAL and segment[2:3] == frame[8:9]:
                return
            if scans > MAX_SCANS:
                raise _bomb(name, f"more than {MAX_SCANS} passes over its pixels")
        elif kind == _EXIF and segment[2:] == b"Exif\0\0":
            exif_parts += 1
            if exif_parts > MAX_EXIF_PARTS:
                raise _bomb(name, f"EXIF data of more than {MAX_EXIF_PARTS} segments")
        position += max(int.from_bytes(segment[:2], "big"), 2)


def _check_tiff(content: bytes, name: str) -> None:
    order = "<" if content.startswith(b"I") else ">"
    large = content[2] == 43 or content[3] == 43  # BigTIFF
    head, count, entry = ("Q", "Q", "HHQ8x") if large else ("I", "H", "HHI4x")
    entries = struct.Struct(order + entry)
    try:
        (start,) = struct.unpack_from(order + head, content, 8 if large else 4)
        (number,) = struct.unpack_from(order + count, content, start)
    except (struct.error, OverflowError):
        return  # Pillow says what is wrong
    if number > MAX_TABLE:
        raise _bomb(name, f"{number} entries in its directory")
    place = start + struct.calcsize(order + count)
    for position in range(place, place + number * entries.size, entries.size):
        if position + entries.size > len(content):
            return
        tag, kind, elements = entries.unpack_from(content, position)
        if elements > MAX_TABLE and (tag in _STRIPS or kind not in _BYTES):
            raise _bomb(name, f"{elements} numbers in entry {tag} of its directory")


def _bomb(name: str, what: str) -> ImageError:
    return ImageError(
        f"{name} has {what}, which would take very long to decode; expected a picture as cameras "
        "and programs write it: save it anew"
    )
