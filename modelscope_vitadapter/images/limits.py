"""How large an image may be."""

from collections.abc import Callable

from PIL import Image

from modelscope_vitadapter.errors import ImageError, ImageMemoryError
from modelscope_vitadapter.hints import option

MAX_PIXELS = 178_956_970
"""Largest image that is read unless told otherwise: where Pillow speaks of a decompression bomb."""

BY_TILES = (
    "a GeoTIFF of any size is segmented tile by tile by "
    "modelscope_vitadapter.geotiff.segment_geotiff"
)

CheckSize = Callable[[str, tuple[int, int]], None]
"""Called with the name of an input and its `(height, width)` before its pixels are decoded; raises
where they can't be taken."""


def check_pixels(
    name: str, size: tuple[int, int], max_pixels: int | None, *, is_tiff: bool = False
) -> None:
    """Refuses an image `(height, width)` of no pixels or of more than `max_pixels`.

    If that is None, the limit is `MAX_PIXELS`, or Pillow's own where the program has lowered it.
    """
    height, width = size
    if width <= 0 or height <= 0:
        found = f"height {height}, width {width}"
        raise ImageError(f"{name} is empty: {found}, expected at least one pixel; save it anew")
    if max_pixels is None:
        pillows = Image.MAX_IMAGE_PIXELS  # Pillow warns above it, and refuses above twice as many
        max_pixels = MAX_PIXELS if pillows is None else min(MAX_PIXELS, 2 * pillows)
    if width * height > max_pixels:
        more = f"; {BY_TILES}" if is_tiff else ""
        raise ImageError(
            f"{name} has {width * height} pixels (height {height}, width {width}), expected at "
            f"most {max_pixels}; reduce it first, or pass "
            f"{option('max_pixels', width * height)}{more}"
        )


def check_tiff_size(check_size: CheckSize | None, name: str, size: tuple[int, int]) -> None:
    """Calls a check of the size; where memory is short, the error says what works by tiles."""
    if check_size is None:
        return
    try:
        check_size(name, size)
    except ImageMemoryError as error:
        raise ImageMemoryError(f"{error}; {BY_TILES}") from error
