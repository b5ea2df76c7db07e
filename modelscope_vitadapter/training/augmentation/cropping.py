"""Random crops without a class that covers nearly all: mmsegmentation's `RandomCrop`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.datasets.dataset import IGNORED
from modelscope_vitadapter.datasets.reading import LabelledImage
from modelscope_vitadapter.training.augmentation.settings import AugmentationSettings


@dataclass(frozen=True)
class Box:
    """A part of a picture, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return this part of an `(H, W, ...)` array, a view of its memory."""
        return array[self.top : self.top + self.height, self.left : self.left + self.width]


def draw_crop(
    classes: NDArray[np.int16], settings: AugmentationSettings, rng: np.random.Generator
) -> Box:
    """Draw a crop, until one is found in which no class covers too much.

    Args:
        classes: `(H, W)` class ids, `IGNORED` where there is none.
        settings: `crop_size`, `cat_max_ratio` and `crop_tries` are used.
        rng: Source of the places, drawn uniformly.

    Returns:
        The first crop that keeps to `cat_max_ratio`, else the last one drawn. It is as large as
        the picture along sides that are shorter than `crop_size`.
    """
    height, width = classes.shape
    box = Box(0, 0, min(height, settings.crop_size[0]), min(width, settings.crop_size[1]))
    if box.of(classes).size == classes.size:
        return box  # the only one there is
    for _ in range(settings.crop_tries):
        top = int(rng.integers(height - box.height + 1))
        left = int(rng.integers(width - box.width + 1))
        box = replace(box, top=top, left=left)
        if settings.cat_max_ratio >= 1.0:
            break
        if largest_share(box.of(classes)) <= settings.cat_max_ratio:
            break
    return box


def largest_share(classes: NDArray[np.int16]) -> float:
    """Return the share of the labelled pixels that the most frequent class has.

    Args:
        classes: `(H, W)` class ids, `IGNORED` where there is none.

    Returns:
        In (0, 1]; infinite where no pixel is labelled, since such a crop teaches nothing.
    """
    labelled = classes[classes != IGNORED]
    if labelled.size == 0:
        return float("inf")
    return float(np.bincount(labelled).max() / labelled.size)


def crop_labelled(picture: LabelledImage, box: Box) -> LabelledImage:
    """Return a part of a picture and of its classes."""
    return replace(picture, image=box.of(picture.image), classes=box.of(picture.classes))
