"""Random resizing: mmsegmentation's `Resize` with a ratio range and the aspect ratio kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.config.test_pipeline import Resize, Size
from modelscope_vitadapter.datasets.reading import LabelledImage
from modelscope_vitadapter.images.transforms import apply_step
from modelscope_vitadapter.training.augmentation.settings import AugmentationSettings


def draw_resize(settings: AugmentationSettings, rng: np.random.Generator) -> Resize:
    """Draw the box that bounds the resized picture.

    Args:
        settings: `scale` and `ratio_range` are used.
        rng: Source of the ratio, drawn uniformly.

    Returns:
        The step that resizes a picture into that box, its aspect ratio kept. The box's sides are
        whole pixels, as mmsegmentation cuts them.
    """
    ratio = rng.uniform(*settings.ratio_range)
    short, long = (max(int(side * ratio), 1) for side in sorted(settings.scale))
    return Resize((short, long))


def resize_labelled(picture: LabelledImage, step: Resize) -> LabelledImage:
    """Resize the image as the step does (bilinear), and the classes to the same size (nearest)."""
    image = apply_step(step, picture.image)
    classes = resize_nearest(picture.classes, (image.shape[0], image.shape[1]))
    return replace(picture, image=image, classes=classes)


def resize_nearest(values: NDArray[Any], size: Size) -> NDArray[Any]:
    """Resize a map to the nearest values, seen from the centres of pixels.

    Bilinear resizing of pictures measures from the centres too, so both stay aligned. OpenCV's
    nearest, which mmsegmentation calls, measures from the corners: that shifts labels by up to
    half a pixel of the coarser map. OpenCV's exact one rounds half-way points by fixed-point
    errors.

    Args:
        values: `(H, W)`, any dtype.
        size: `(height, width)` of the result.

    Returns:
        `(height, width)`, of the dtype of `values`, C-contiguous.
    """
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new)
        for old, new in zip(values.shape, size, strict=True)
    )
    resized: NDArray[Any] = np.take(np.take(values, rows, axis=0), columns, axis=1)
    return resized
