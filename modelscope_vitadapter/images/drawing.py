"""Colours of classes, laid over images."""

import colorsys
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def default_palette(count: int) -> list[list[int]]:
    """Colours `[R, G, B]`, 0 to 255; neighbours differ: hues go by the golden ratio."""
    colours = []
    for number in range(count):
        hue, value = (number * 0.618034) % 1.0, 0.95 - 0.35 * (number % 3) / 2
        colours.append([round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.65, value)])
    return colours


def flat_colours(
    classes: NDArray[Any], palette: Sequence[Sequence[int]] | NDArray[np.integer[Any]]
) -> NDArray[np.uint8]:
    """The colour of each class id `(H, W)`, `(H, W, 3)` RGB; black where the id is negative."""
    table = np.zeros((len(palette) + 1, 3), np.uint8)  # the last, which -1 takes, is black
    table[:-1] = palette
    drawn: NDArray[np.uint8] = table[np.maximum(classes, -1)]
    return drawn


def overlay(
    image: NDArray[np.uint8],
    classes: NDArray[Any],
    palette: Sequence[Sequence[int]] | NDArray[np.integer[Any]],
    share: float,
) -> NDArray[np.uint8]:
    """Lays the colours of class ids `(H, W)` over an image `(H, W, 3)` RGB; negative ids have none.

    Args:
        image: stays as it is.
        classes: ids that index the palette.
        palette: `[R, G, B]` of each class, 0 to 255.
        share: of the colour in a pixel, 0 to 1.
    """
    mixed: NDArray[np.uint8] = flat_colours(classes, palette)
    cv2.addWeighted(image, 1 - share, mixed, share, 0, dst=mixed)
    unknown = classes < 0
    mixed[unknown] = image[unknown]
    return mixed


def fit_within(image: NDArray[np.uint8], longest_side: int) -> NDArray[np.uint8]:
    """An image whose longer side has at most so many pixels; a smaller one stays as it is."""
    height, width = image.shape[:2]
    scale = min(longest_side / max(height, width), 1.0)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    resized: NDArray[np.uint8] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return resized
