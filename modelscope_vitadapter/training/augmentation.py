"""Random views of labelled images: mmsegmentation's transforms, as the paper draws with them.

A view is resized, cropped, mirrored and given other colours, in this order. All numbers come from
one generator, so a sample's seed decides everything about its view.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.config.settings import Size
from modelscope_vitadapter.config.test_pipeline import InputTransform, Normalize, Resize
from modelscope_vitadapter.datasets.label_ids import IGNORED
from modelscope_vitadapter.datasets.reading import LabelledImage
from modelscope_vitadapter.training.photometric import distort, draw_distortion
from modelscope_vitadapter.training.train_config import TrainConfig

LONG_PER_SHORT = 4
"""Longer side of the paper's scale, (3584, 896), per its shorter side, which is the crop's."""

CROP_TRIES = 10
"""Crops drawn in search of one without a class that covers too much; the last is taken as it is."""


@dataclass(frozen=True)
class Augmentation:
    """How a training view is made of a labelled image.

    Attributes:
        crop_size: `(height, width)` in pixels of every view.
        scale: shorter and longer side of the box that bounds an image resized at ratio 1.
        ratio_range: factors of `scale`.
        cat_max_ratio: largest share of a crop's labelled pixels that one class may have.
        flip: chance of being mirrored left to right.
        photometric: whether colours change.
        mean: per channel of the network's input, for values in 0 to 255.
        std: as `mean`; never 0.
        to_rgb: whether the network takes RGB; else BGR.
    """

    crop_size: Size
    scale: tuple[float, float]
    ratio_range: tuple[float, float] = (0.5, 2.0)
    cat_max_ratio: float = 0.75
    flip: float = 0.5
    photometric: bool = True
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    to_rgb: bool = False

    @classmethod
    def of(cls, config: TrainConfig, transform: InputTransform, crop_size: Size) -> Augmentation:
        """The augmentations of a run, with the scale and normalisation that a model is used with.

        Args:
            config: what is drawn.
            transform: the model's test pipeline, of which the first view counts. Where it resizes
                into no box, the paper's scale for this crop is taken.
            crop_size: of the views.
        """
        short = min(crop_size)
        made = cls(
            crop_size,
            scale=(short, LONG_PER_SHORT * short),
            ratio_range=config.ratio_range,
            cat_max_ratio=config.cat_max_ratio,
            flip=config.flip,
            photometric=config.photometric,
        )
        for step in reversed(transform.views[0].steps):  # of several of a kind the first one counts
            if isinstance(step, Resize) and isinstance(step.scale, tuple):
                made = replace(made, scale=(min(step.scale), max(step.scale)))
            elif isinstance(step, Normalize):
                made = replace(made, mean=step.mean, std=step.std, to_rgb=step.to_rgb)
        return made

    def __call__(
        self, labelled: LabelledImage, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
        """Draws a view.

        Args:
            labelled: image and classes of any size from one pixel on; not modified.
            rng: the only source of what is random.

        Returns:
            `(3, h, w)` float32 normalised, in the network's channel order, and `(h, w)` class ids,
            of the size of the crop. Where the resized image is smaller they are filled up with 0
            and `IGNORED`, below and to the right.
        """
        image, classes = self.view(labelled.image, labelled.classes, rng)
        height, width = classes.shape
        ordered = image[..., ::-1] if self.to_rgb else image
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        values = np.zeros((3, *self.crop_size), np.float32)
        values[:, :height, :width] = ((ordered.astype(np.float32) - mean) / std).transpose(2, 0, 1)
        padded = np.full(self.crop_size, IGNORED, np.int16)
        padded[:height, :width] = classes
        return values, padded

    def view(
        self, image: NDArray[np.uint8], classes: NDArray[np.int16], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
        """The view `(h, w, 3)` BGR and `(h, w)`, of the crop's size at most."""
        ratio = rng.uniform(*self.ratio_range)
        size = resized_size(classes.shape, (self.scale[0] * ratio, self.scale[1] * ratio))
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
        classes = resize_nearest(classes, size)
        crop = self._draw_crop(classes, rng)
        image, classes = image[crop], classes[crop]
        if rng.random() < self.flip:
            image, classes = image[:, ::-1], classes[:, ::-1]
        return distort(image, draw_distortion(rng)) if self.photometric else image, classes

    def _draw_crop(
        self, classes: NDArray[np.int16], rng: np.random.Generator
    ) -> tuple[slice, slice]:
        """The first crop in which no class covers too much, else the last that was drawn.

        It is as large as the image along sides that are shorter than the crop.
        """
        height, width = (min(*sides) for sides in zip(classes.shape, self.crop_size, strict=True))
        crop = slice(0, height), slice(0, width)
        if (height, width) == classes.shape:
            return crop  # the only one there is
        for _ in range(CROP_TRIES):
            top = int(rng.integers(classes.shape[0] - height + 1))
            left = int(rng.integers(classes.shape[1] - width + 1))
            crop = slice(top, top + height), slice(left, left + width)
            if self.cat_max_ratio >= 1.0 or largest_share(classes[crop]) <= self.cat_max_ratio:
                break
        return crop


def resized_size(size: Size, box: tuple[float, float]) -> Size:
    """The size in which an image fits into a box, its aspect ratio kept, as mmcv rounds it.

    Args:
        size: `(height, width)` of the image.
        box: shorter and longer side, of which whole pixels count, as mmsegmentation cuts them.
    """
    short, long = (max(int(side), 1) for side in box)
    factor = min(long / max(size), short / min(size))
    return max(int(size[0] * factor + 0.5), 1), max(int(size[1] * factor + 0.5), 1)


def resize_nearest(values: NDArray[Any], size: Size) -> NDArray[Any]:
    """Resizes a map `(H, W)` to the nearest values, seen from the centres of pixels.

    Bilinear resizing of images measures from the centres too, so both stay aligned. OpenCV's
    nearest, which mmsegmentation calls, measures from the corners: that shifts labels by up to
    half a pixel of the coarser map. OpenCV's exact one rounds half-way points by fixed-point
    errors.
    """
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new)
        for old, new in zip(values.shape, size, strict=True)
    )
    resized: NDArray[Any] = values[rows[:, None], columns]
    return resized


def largest_share(classes: NDArray[np.int16]) -> float:
    """The share of the labelled pixels that the most frequent class has, in (0, 1].

    Infinite where no pixel is labelled, since such a crop teaches nothing.
    """
    labelled = classes[classes != IGNORED]
    return float(np.bincount(labelled).max() / labelled.size) if labelled.size else float("inf")
