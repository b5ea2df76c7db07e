"""Names of classes, written inside their regions."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from modelscope_vitadapter.visualization.fonts import Label

SEARCHED_SIDE = 1024
"""Longest side in cells of what places are searched in: a larger class map is thinned."""

HALO = 1 / 7
"""Width of the halo around letters, in sizes of the font."""

LARGEST = 1.6
"""Size of the largest name, in usual sizes."""

_MEASURED = 100


def text_sizes(height: int, width: int) -> tuple[float, float]:
    """Sizes of text in pixels for an image: the smallest that is read with ease, and the usual."""
    side = float(np.sqrt(height * width))
    return max(12.0, side / 70), max(12.0, side / 45)


def write_names(
    image: Image.Image,
    classes: NDArray[Any],
    labels: Mapping[int, Label],
    palette: Sequence[Sequence[int]] | NDArray[Any],
) -> None:
    """Writes the name of each class once, where its region has the most room for it.

    A name stays within pixels of its class, so no two overlap; one for which there is no room at
    a legible size is left out.

    Args:
        image: RGB; written on.
        classes: ids `(H, W)`, any integers; `labels` has those that are to be named.
        labels: by class id.
        palette: `[R, G, B]` of each class, from which dark or light letters follow.
    """
    height, width = classes.shape
    smallest, usual = text_sizes(height, width)
    step = -(-max(height, width) // SEARCHED_SIDE)
    cells = np.ascontiguousarray(classes[step // 2 :: step, step // 2 :: step])
    draw = ImageDraw.Draw(image)
    for number, label in labels.items():
        left, top, right, bottom = label.font(_MEASURED).getbbox(label.text, anchor="ls")
        box = ((right - left) / _MEASURED + 2 * HALO, (bottom - top) / _MEASURED + 2 * HALO)
        mask = (cells == number).astype(np.uint8)
        if cv2.countNonZero(mask) * step**2 < box[0] * box[1] * smallest**2:
            continue
        # Two pixels are lost to rounding: of the letters' places and of the halo.
        heights = (smallest * box[1] + 2, usual * LARGEST * box[1] + 2)
        place = roomiest_place(mask, box[0] / box[1], heights[0] / step, heights[1] / step)
        if place is None:
            continue
        x, y, room = place
        size = min(int((room * step - 2) / box[1]), int(usual * LARGEST))
        font = label.font(size)
        left, top, right, bottom = font.getbbox(label.text, anchor="ls")
        corner = (x * step - (left + right) / 2, y * step - (top + bottom) / 2)
        red, green, blue = map(int, palette[number])
        is_light = 0.299 * red + 0.587 * green + 0.114 * blue > 140
        ink, halo = ("black", "white") if is_light else ("white", "black")
        draw.text(
            (round(corner[0]), round(corner[1])),
            label.text,
            fill=ink,
            font=font,
            anchor="ls",
            stroke_width=max(int(size * HALO), 1),
            stroke_fill=halo,
        )


def roomiest_place(
    mask: NDArray[np.uint8], aspect: float, least: float, enough: float
) -> tuple[float, float, float] | None:
    """Where in a region the largest box of a form fits.

    Squeezed by the box's form, the region takes squares, and the distance to its border on a
    chessboard is half the side of the largest square around a pixel.

    Args:
        mask: `(H, W)`, 1 in the region, which has at least one pixel, else 0.
        aspect: width of the box by its height.
        least: height of the smallest box.
        enough: height from which on more room is no use; among places that have it, one
            in the middle of those far from the border is taken.

    Returns:
        The box's centre, x and y, and its height, all in pixels; None where the
        smallest doesn't fit.
    """
    left, top, width, height = cv2.boundingRect(mask)
    region = mask[top : top + height, left : left + width] * 255
    columns = max(int(width / aspect), 1)
    # A cell that isn't covered as a whole is not in the region.
    squeezed = (cv2.resize(region, (columns, height), interpolation=cv2.INTER_AREA) == 255) * 1
    padded = np.pad(squeezed.astype(np.uint8), 1)
    half = cv2.distanceTransform(padded, cv2.DIST_C, 3)
    if 2 * (float(half.max()) - 1) < least:
        return None
    fits = half >= min(float(half.max()), enough / 2 + 1)
    far = np.where(fits, cv2.distanceTransform(padded, cv2.DIST_L2, 3), -1)
    row, column = _middle(far >= 0.9 * far.max())
    room = 2 * (float(half[row, column]) - 1)
    return left + (column - 0.5) * width / columns, top + row - 0.5, room


def _middle(places: NDArray[np.bool_]) -> tuple[int, int]:
    """Row and column of the place nearest to the middle of the largest group of places."""
    _, groups, stats, middles = cv2.connectedComponentsWithStats(places.astype(np.uint8))
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    rows, columns = np.nonzero(groups == largest)
    x, y = middles[largest]
    nearest = int(np.hypot(rows - y, columns - x).argmin())
    return int(rows[nearest]), int(columns[nearest])
