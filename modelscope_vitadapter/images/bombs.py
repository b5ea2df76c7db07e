"""Images that are small as files and take hours or all memory to decode.

What a limit on pixels does not bound is told from the bytes before Pillow sees them. A bound on
what Pillow reads would not do: of all these files it reads each byte but once or twice.
"""

import re

from modelscope_vitadapter.errors import ImageError
from modelscope_vitadapter.images.limits import BY_TILES
from modelscope_vitadapter.images.tiff_directory import Directory, is_tiff

MAX_SCANS = 100  # passes over a JPEG's pixels, of a few bytes each; files in use have some ten
MAX_EXIF_PARTS = 64  # segments of 64 KiB of EXIF data; each copies all that came before it
MAX_TABLE = 2**18
"""Numbers in one entry of a TIFF file's directory, of which Pillow makes objects, and entries in
it. An image of 65536 rows of four channels has as many strips at most."""

# What a segment with a length follows, and the end; not a stuffed byte or a restart within pixels.
_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd9-\xfe])")
_SCAN, _END, _EXIF = 0xDA, 0xD9, 0xE1

_STRIPS, _BYTES = {273, 279, 324, 325}, {1, 2, 7}
"""Tags of places of strips; TIFF's types of which Pillow makes no object for each element."""


def refuse_bombs(content: bytes, name: str) -> None:
    """Raises `ImageError` for a JPEG or TIFF file that has more of something than these limits."""
    found = ""
    if content.startswith(b"\xff\xd8"):
        found = _jpeg_bomb(content)
    elif is_tiff(content):
        found = _tiff_bomb(content)
    if found:
        more = f"; {BY_TILES}" if is_tiff(content) else ""
        raise ImageError(
            f"{name} has {found}, which would take very long to decode; expected an image as "
            f"cameras and programs write it: save it anew{more}"
        )


def _jpeg_bomb(content: bytes) -> str:
    position, scans, exif_parts = 2, 0, 0
    while (marker := _MARKER.search(content, position)) is not None:
        kind, position = marker[1][0], marker.end()
        if kind == _END:
            if scans:
                break  # what follows an image is not decoded
            continue
        scans += kind == _SCAN
        exif_parts += kind == _EXIF and content[position + 2 : position + 8] == b"Exif\0\0"
        if scans > MAX_SCANS:
            return f"more than {MAX_SCANS} passes over its pixels"
        if exif_parts > MAX_EXIF_PARTS:
            return f"EXIF data of more than {MAX_EXIF_PARTS} segments"
        position += max(int.from_bytes(content[position : position + 2], "big"), 2)
    return ""


def _tiff_bomb(content: bytes) -> str:
    directory = Directory.of(content)
    if directory is None:
        return ""  # Pillow says what is wrong
    if directory.count > MAX_TABLE:
        return f"{directory.count} entries in its directory"
    for tag, kind, elements, _ in directory.entries():
        if elements > MAX_TABLE and (tag in _STRIPS or kind not in _BYTES):
            return f"{elements} numbers in entry {tag} of its directory"
    return ""
