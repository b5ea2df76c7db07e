"""Fonts that have the letters of class names, Chinese ones included."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

from modelscope_vitadapter.hints import option
from modelscope_vitadapter.logs import warn_once

CHINESE_FONTS = (
    *("notosanscjk", "notosanssc", "sourcehansans", "wqy-", "msyh", "pingfang", "hiragino sans gb"),
    *("stheiti", "simhei", "simsun", "droidsansfallback", "arial unicode", "unifont"),
)
"""How file names of fonts with Chinese letters begin on Linux, Windows and macOS; best first."""

INSTALL = (
    "install one (for Chinese: fonts-noto-cjk on Debian and Ubuntu, google-noto-sans-cjk-fonts on "
    "Fedora)"
)


@dataclass(frozen=True)
class Label:
    """The name of a class, and the path of a font that has its letters."""

    text: str
    path: str

    def font(self, size: float) -> ImageFont.FreeTypeFont:
        """The font at a size in pixels."""
        return _load(self.path, size)


def make_label(name: str, number: int, font: str | os.PathLike[str] | None = None) -> Label:
    """The name as it can be drawn: where no font has its letters, the class's id instead.

    That is told in the log, once.

    Args:
        name: of the class; white space is joined.
        number: the class's id.
        font: see `find_font`.
    """
    text = " ".join(name.split()) or str(number)
    path = find_font(text, font)
    if path is not None:
        return Label(text, path)
    warn_once(
        "no font",
        "No font of this system has the letters of %r: the class's id is drawn in place of such a "
        "name; %s, or pass %s",
        text,
        INSTALL,
        option("font", "FILE.ttf"),
    )
    return Label(str(number), _bundled())


def find_font(text: str, font: str | os.PathLike[str] | None = None) -> str | None:
    """The path of a font that has every letter of a text; None where this system has none.

    Args:
        text: white space counts for nothing.
        font: a font file (`.ttf`, `.otf`, `.ttc`) that is taken where it has the letters.
            Otherwise it is DejaVu Sans, which comes with matplotlib, then Chinese fonts, then any.

    Raises:
        ValueError: `font` can't be read.
    """
    letters = frozenset(map(ord, "".join(text.split())))
    if font is not None:
        path = os.fspath(font)
        if _has(path, letters):
            return path
        if not len(_letters(path)):
            raise ValueError(
                f"{option('font', path)} can't be read as a font: expected the path of a file "
                ".ttf, .otf or .ttc"
            )
    return _search(letters)


def plot_families(texts: Iterable[str]) -> list[str]:
    """Makes the fonts of texts known to matplotlib; their names, as `font.family` takes them."""
    from matplotlib import font_manager

    paths = sorted({path for path in map(find_font, texts) if path and path != _bundled()})
    known = {one.name for one in font_manager.fontManager.ttflist}
    # Under a name and as a weight of our own: of a font whose regular weight is called otherwise,
    # matplotlib warns at each text.
    font_manager.fontManager.ttflist += [
        font_manager.FontEntry(fname=path, name=path, style="normal", weight=400, size="scalable")
        for path in paths
        if path not in known
    ]
    return ["DejaVu Sans", *paths]


@lru_cache
def system_fonts() -> tuple[str, ...]:
    """Paths of the fonts that are installed: those for Chinese first, upright and regular."""
    from matplotlib import font_manager

    def rank(path: str) -> tuple[int, bool, str]:
        stem = Path(path).stem.lower()
        place = (number for number, name in enumerate(CHINESE_FONTS) if stem.startswith(name))
        return next(place, len(CHINESE_FONTS)), "regular" not in stem, stem

    return tuple(sorted(font_manager.findSystemFonts(), key=rank))


@lru_cache
def _bundled() -> str:
    import matplotlib

    return str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"))


@lru_cache(maxsize=4096)
def _search(letters: frozenset[int]) -> str | None:
    if _has(_bundled(), letters):
        return _bundled()
    return next((path for path in system_fonts() if _has(path, letters)), None)


def _has(path: str, letters: frozenset[int]) -> bool:
    known = _letters(path)
    return len(known) > 0 and bool(np.isin(list(letters), known).all())


@cache
def _letters(path: str) -> NDArray[np.uint32]:
    """Code points that a font has; none where it can't be read or drawn at any size."""
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(path)
        points = font.get_charmap() if font.scalable else {}
    except (OSError, RuntimeError):
        points = {}
    return np.fromiter(points, np.uint32)


@lru_cache(maxsize=64)
def _load(path: str, size: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)
