"""Random changes of colour, after SSD (Liu et al., arXiv 1512.02325, data augmentation).

Ranges and order are those of mmsegmentation's `PhotoMetricDistortion`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

BRIGHTNESS, HUE = 32.0, 18.0
"""Largest offset of values in 0 to 255, and turn of the hue in units of 2 degrees; either sign."""

FACTORS = (0.5, 1.5)
"""Of the contrast and of the saturation."""


@dataclass(frozen=True)
class Distortion:
    """One draw of colour changes; None stands for a change that is left out.

    Attributes:
        brightness: offset of values in 0 to 255.
        contrast: factor of all values.
        contrast_first: the contrast changes before saturation and hue; else after them.
        saturation: factor of the saturation in HSV, which ends at 1.
        hue: turn of the hue, in units of 2 degrees.
    """

    brightness: float | None = None
    contrast: float | None = None
    contrast_first: bool = True
    saturation: float | None = None
    hue: float | None = None


def draw_distortion(rng: np.random.Generator) -> Distortion:
    """Draws colour changes, each with a chance of a half; as many numbers whichever are used."""
    used = rng.random(4) < 0.5
    drawn = (
        rng.uniform(-BRIGHTNESS, BRIGHTNESS),
        rng.uniform(*FACTORS),
        rng.uniform(*FACTORS),
        rng.uniform(-HUE, HUE),
    )
    brightness, contrast, saturation, hue = (
        float(value) if use else None for value, use in zip(drawn, used, strict=True)
    )
    return Distortion(brightness, contrast, bool(rng.random() < 0.5), saturation, hue)


def distort(image: NDArray[np.uint8], change: Distortion) -> NDArray[np.uint8]:
    """Changes the colours of an image `(H, W, 3)` BGR, which stays as it is.

    Brightness, contrast if it comes first, saturation, hue, contrast if it comes last; values are
    cut to 0 to 255 after each. Here they are rounded once at the end, in mmsegmentation to whole
    grey levels after each and to 180 hues.
    """
    values = image.astype(np.float32)
    if change.brightness is not None:
        values = np.clip(values + np.float32(change.brightness), 0, 255)
    if change.contrast is not None and change.contrast_first:
        values = np.clip(values * np.float32(change.contrast), 0, 255)
    if change.saturation is not None or change.hue is not None:
        hsv = cv2.cvtColor(values, cv2.COLOR_BGR2HSV)  # 0 to 360, 0 to 1 and the range of `values`
        if change.saturation is not None:
            hsv[:, :, 1] = np.minimum(hsv[:, :, 1] * np.float32(change.saturation), 1)
        if change.hue is not None:
            hsv[:, :, 0] = np.mod(hsv[:, :, 0] + np.float32(2 * change.hue), np.float32(360))
        values = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    if change.contrast is not None and not change.contrast_first:
        values = np.clip(values * np.float32(change.contrast), 0, 255)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
