"""The legend of a picture: colours, names and shares of area."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageDraw

from modelscope_vitadapter.visualization.fonts import Label, make_label

SMALL_SHARE = 0.001
"""Classes with less of the area are summed up where a legend would be too long."""

LINE, SWATCH, GAP = 1.5, 1.0, 0.6
"""Height of a line, side of the square of colour, and space between things, in sizes of text."""

LEAST_LINES = 8
"""Of a legend whose picture has fewer, before it gets another column."""

OTHER_COLOUR = (160, 160, 160)


@dataclass(frozen=True)
class Entry:
    """A line: the colour `(R, G, B)`, the name, and the share of the area, 0 to 1, or None."""

    colour: tuple[int, int, int]
    label: Label
    share: float | None = None

    @property
    def percent(self) -> str:
        """The share as it is written; empty where there is none."""
        if self.share is None:
            return ""
        return "<0.1 %" if self.share < SMALL_SHARE else f"{100 * self.share:.1f} %"


def shortened(
    entries: Sequence[Entry], lines: int, font: str | os.PathLike[str] | None = None
) -> list[Entry]:
    """The entries; where they are more than the lines, those below 0.1 % as one, `other`."""
    small = [one for one in entries if one.share is not None and one.share < SMALL_SHARE]
    if len(entries) <= lines or len(small) < 2:
        return list(entries)
    share = sum(one.share or 0.0 for one in small)
    other = Entry(OTHER_COLOUR, make_label(f"other ({len(small)})", len(small), font), share)
    return [*(one for one in entries if one not in small), other]


def draw_legend(entries: Sequence[Entry], size: float, lines: int) -> Image.Image:
    """Draws a legend, black on white, RGB; entries run down a column, then down the next.

    Args:
        entries: in their order.
        size: of the text in pixels.
        lines: of a column, at least 1.
    """
    gap, swatch, line = round(GAP * size), round(SWATCH * size), round(LINE * size)
    columns = [entries[start : start + lines] for start in range(0, len(entries), lines)]
    widths = [_column_width(column, size) for column in columns]
    height = line * min(lines, len(entries)) + 2 * gap
    image = Image.new("RGB", (_total_width(widths, size), height), "white")
    draw, left = ImageDraw.Draw(image), gap
    for column, width in zip(columns, widths, strict=True):
        for number, one in enumerate(column):
            middle = gap + line * number + line // 2
            top = middle - swatch // 2
            corners = (left, top, left + swatch - 1, top + swatch - 1)
            draw.rectangle(corners, fill=one.colour, outline="black", width=max(swatch // 20, 1))
            # Not by each text's own middle: all stand on one line, Chinese or not.
            base, font = middle + round(0.36 * size), one.label.font(size)
            draw.text((left + swatch + gap, base), one.label.text, "black", font, anchor="ls")
            draw.text((left + width, base), one.percent, "black", font, anchor="rs")
        left += width + 2 * gap
    return image


def fitting_lines(entries: Sequence[Entry], size: float, width: int) -> int:
    """The fewest lines of a legend that is no wider than so many pixels; all of them at most."""
    for lines in range(1, len(entries)):
        starts = range(0, len(entries), lines)
        widths = [_column_width(entries[start : start + lines], size) for start in starts]
        if _total_width(widths, size) <= width:
            return lines
    return len(entries)


def _column_width(column: Sequence[Entry], size: float) -> int:
    gap = round(GAP * size)
    text = max(_width(one.label, one.label.text, size) for one in column)
    percent = max(_width(one.label, one.percent, size) for one in column)
    return round(SWATCH * size) + gap + text + (gap + percent if percent else 0)


def _total_width(columns: Sequence[int], size: float) -> int:
    return max(sum(columns) + 2 * round(GAP * size) * len(columns), 1)


@lru_cache(maxsize=4096)
def _width(label: Label, text: str, size: float) -> int:
    return round(label.font(size).getlength(text) + 0.5)
