"""Another limit on a picture's pixels than Pillow's own, for the calling thread only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from PIL import Image

_CHECK = "_decompression_bomb_check"


class TooManyPixelsError(Image.DecompressionBombError):
    """A picture of `size`, `(width, height)` as Pillow says, is beyond the `limit` given."""

    def __init__(self, size: tuple[int, int], limit: int) -> None:
        super().__init__(f"{size[0] * size[1]} pixels, expected at most {limit}")
        self.size = size
        self.limit = limit


_limit: ContextVar[int | None] = ContextVar("max_pixels", default=None)
_installing = threading.Lock()


@contextmanager
def pillow_limit(max_pixels: int | None) -> Iterator[None]:
    """Make Pillow accept pictures up to a number of pixels, within a `with` block.

    Pillow refuses pictures beyond twice `Image.MAX_IMAGE_PIXELS`, a setting of the whole process,
    when they are opened and again in the decoders of some formats. To change it for a moment would
    leave other threads without it; so Pillow's check is told, for this thread alone, which limit
    holds. Everybody else's pictures are checked as before.

    Args:
        max_pixels: Largest picture that is opened; None leaves Pillow's own limit as it is.
    """
    if max_pixels is None:
        yield
        return
    _install()
    token = _limit.set(max_pixels)
    try:
        yield
    finally:
        _limit.reset(token)


def _install() -> None:
    """Put the check that knows this thread's limit around Pillow's, once in a process."""
    with _installing:
        check = getattr(Image, _CHECK, None)
        if check is not None and not hasattr(check, "pillows_own"):
            setattr(Image, _CHECK, _aware_of_the_limit(check))


def _aware_of_the_limit(check: Callable[..., None]) -> Callable[..., None]:
    def check_pixels(size: tuple[int, int], *args: Any, **options: Any) -> None:
        limit = _limit.get()
        if limit is None:
            check(size, *args, **options)
        elif size[0] * size[1] > limit:
            raise TooManyPixelsError(size, limit)

    check_pixels.pillows_own = check  # type: ignore[attr-defined]
    return check_pixels
