"""Random changes of colour, after SSD (Liu et al., arXiv 1512.02325, data augmentation)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.training.augmentation.settings import PhotometricSettings

_FULL_TURN = 360.0
_DEGREES = 2.0
"""Degrees per unit of hue, in which OpenCV's 8-bit pictures and `PhotometricSettings` count."""


@dataclass(frozen=True)
class Distortion:
    """One draw of colour changes; None stands for a change that is left out."""

    brightness: float | None = None
    """Offset of values in 0..255."""
    contrast: float | None = None
    """Factor of all values."""
    contrast_first: bool = True
    """Whether the contrast changes before saturation and hue; else after them."""
    saturation: float | None = None
    """Factor of the saturation in HSV, which ends at 1."""
    hue: float | None = None
    """Turn of the hue, in units of 2 degrees."""


def draw_distortion(settings: PhotometricSettings, rng: np.random.Generator) -> Distortion:
    """Draw colour changes.

    All numbers are drawn in any case, so that what follows does not depend on which are used.

    Args:
        settings: Ranges and the probability of each change.
        rng: Source of the values, drawn uniformly, and of which changes are made.

    Returns:
        What is to be done.
    """
    used = rng.random(4) < settings.probability
    values = (
        rng.uniform(-settings.brightness, settings.brightness),
        rng.uniform(*settings.contrast),
        rng.uniform(*settings.saturation),
        rng.uniform(-settings.hue, settings.hue),
    )
    brightness, contrast, saturation, hue = (
        float(value) if use else None for value, use in zip(values, used, strict=True)
    )
    return Distortion(
        brightness=brightness,
        contrast=contrast,
        contrast_first=bool(rng.random() < 0.5),
        saturation=saturation,
        hue=hue,
    )


def distort(image: NDArray[np.uint8], distortion: Distortion) -> NDArray[np.uint8]:
    """Change the colours of a picture.

    The order of mmsegmentation's `PhotoMetricDistortion`: brightness, contrast if it comes first,
    saturation, hue, contrast if it comes last; values are cut to 0..255 after each. Here they are
    rounded once at the end, there to whole grey levels after each and to 180 hues.

    Args:
        image: `(H, W, 3)` BGR; not modified.
        distortion: What is done.

    Returns:
        `(H, W, 3)` BGR.
    """
    values = image.astype(np.float32)
    if distortion.brightness is not None:
        values = np.clip(values + np.float32(distortion.brightness), 0, 255)
    if distortion.contrast is not None and distortion.contrast_first:
        values = _scaled(values, distortion.contrast)
    if distortion.saturation is not None or distortion.hue is not None:
        values = _recoloured(values, distortion.saturation, distortion.hue)
    if distortion.contrast is not None and not distortion.contrast_first:
        values = _scaled(values, distortion.contrast)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _scaled(values: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = np.clip(values * np.float32(factor), 0, 255)
    return scaled


def _recoloured(
    values: NDArray[np.float32], saturation: float | None, hue: float | None
) -> NDArray[np.float32]:
    """Return BGR values with changed saturation and hue."""
    hsv = cv2.cvtColor(values, cv2.COLOR_BGR2HSV)  # 0..360, 0..1 and the range of `values`
    if saturation is not None:
        hsv[:, :, 1] = np.minimum(hsv[:, :, 1] * np.float32(saturation), 1)
    if hue is not None:
        hsv[:, :, 0] = np.mod(hsv[:, :, 0] + np.float32(_DEGREES * hue), np.float32(_FULL_TURN))
    recoloured: NDArray[np.float32] = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    return recoloured
