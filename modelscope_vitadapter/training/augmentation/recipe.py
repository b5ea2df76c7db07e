"""The paper's augmentations for the scale and the normalisation that a model is used with."""

from __future__ import annotations

from typing import Any

from modelscope_vitadapter.config.test_pipeline import InputTransform, Normalize, Resize, Size
from modelscope_vitadapter.training.augmentation.settings import AugmentationSettings

_LONG_PER_SHORT = 4.0
"""Longer side of the paper's base scale, (3584, 896), per its shorter side, which is the crop's."""


def paper_recipe(
    transform: InputTransform, crop_size: Size, **changes: Any
) -> AugmentationSettings:
    """Return the paper's augmentations, fitted to a model's own test pipeline.

    Args:
        transform: The model's test pipeline; its first view counts.
        crop_size: `(height, width)` in pixels of the training views.
        **changes: Fields of `AugmentationSettings` that shall be otherwise.

    Returns:
        The settings. The base scale is the box of the test pipeline's resizing, or the crop's
        shorter side and four times as much where it has none. Where it does not normalise, nor do
        these settings.

    Raises:
        ValueError: A changed field is out of its range.
        TypeError: There is no field of that name.
    """
    steps = transform.views[0].steps
    box = next((step.scale for step in steps if isinstance(step, Resize)), None)
    short = min(crop_size)
    normalize = next(
        (step for step in steps if isinstance(step, Normalize)),
        Normalize((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), to_rgb=False),
    )
    fields: dict[str, Any] = {
        "scale": (_LONG_PER_SHORT * short, short) if box is None else (max(box), min(box)),
        "mean": normalize.mean,
        "std": normalize.std,
        "to_rgb": normalize.to_rgb,
    }
    return AugmentationSettings(crop_size=crop_size, **{**fields, **changes})
