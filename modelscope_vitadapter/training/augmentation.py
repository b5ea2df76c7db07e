"""Random views of labelled images: mmsegmentation's transforms, as the paper draws with them.

A view is resized, cropped, mirrored and given other colours, in this order. All numbers come from
one generator, so a sample's seed decides everything about its view.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.config.settings import Size
from modelscope_vitadapter.config.test_pipeline import (
    InputTransform,
    Normalize,
    Resize,
    output_size,
)
from modelscope_vitadapter.datasets.label_ids import IGNORED
from modelscope_vitadapter.datasets.reading import LabelledImage
from modelscope_vitadapter.images.transforms import apply_step
from modelscope_vitadapter.training.train_config import TrainConfig

LONG_PER_SHORT = 4
"""Longer side of the paper's scale, (3584, 896), per its shorter side, which is the crop's."""

CROP_TRIES = 10
"""Crops drawn in search of one without a class that covers too much; the last is taken as it is."""

DISTORTIONS = {
    "brightness": (-32.0, 32.0),
    "contrast": (0.5, 1.5),
    "saturation": (0.5, 1.5),
    "hue": (-36.0, 36.0),
}
"""Ranges of colour changes, as in SSD (arXiv 1512.02325) and mmsegmentation."""

AS_IT_IS = Normalize((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), to_rgb=False)


@dataclass(frozen=True)
class Augmentation:
    """How a training view is made of a labelled image.

    Attributes:
        crop_size: `(height, width)` in pixels of every view.
        scale: box `(height, width)`, either way up, that bounds an image resized at ratio 1.
        config: what is drawn.
        normalize: what the network's values are made by.
    """

    crop_size: Size
    scale: Size
    config: TrainConfig
    normalize: Normalize = AS_IT_IS

    @classmethod
    def of(cls, config: TrainConfig, transform: InputTransform, crop_size: Size) -> Augmentation:
        """With a test pipeline's first normalisation and scale; by default the paper's scale."""
        short, steps = min(crop_size), transform.views[0].steps
        paper = short, LONG_PER_SHORT * short
        scale = next((step.scale for step in steps if isinstance(step, Resize)), paper)
        normalize = next((step for step in steps if isinstance(step, Normalize)), AS_IT_IS)
        return cls(crop_size, scale, config, normalize)

    def __call__(
        self, labelled: LabelledImage, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
        """Draws a view of an image of any size, which is not modified.

        Returns:
            `(3, h, w)` float32 normalised, in the network's channel order, and `(h, w)` class ids,
            of the crop's size: filled up with 0 and `IGNORED` below and to the right.
        """
        image, classes = self.view(labelled.image, labelled.classes, rng)
        height, width = classes.shape
        values = np.zeros((3, *self.crop_size), np.float32)
        values[:, :height, :width] = apply_step(self.normalize, image).transpose(2, 0, 1)
        padded = np.full(self.crop_size, IGNORED, np.int16)
        padded[:height, :width] = classes
        return values, padded

    def view(
        self, image: NDArray[np.uint8], classes: NDArray[np.int16], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
        """The view `(h, w, 3)` BGR and `(h, w)`, of the crop's size at most."""
        ratio = rng.uniform(*self.config.ratio_range)
        box = max(int(self.scale[0] * ratio), 1), max(int(self.scale[1] * ratio), 1)
        size = output_size(Resize(box), classes.shape)
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
        classes = resize_nearest(classes, size)
        crop = self._draw_crop(classes, rng)
        image, classes = image[crop], classes[crop]
        if rng.random() < self.config.flip:
            image, classes = image[:, ::-1], classes[:, ::-1]
        if self.config.photometric:
            image = distort(image, **draw_distortion(rng))
        return image, classes

    def _draw_crop(
        self, classes: NDArray[np.int16], rng: np.random.Generator
    ) -> tuple[slice, slice]:
        """The first crop, cut to the image, where no class covers too much, else the last one."""
        height, width = (min(*sides) for sides in zip(classes.shape, self.crop_size, strict=True))
        crop, largest = (slice(0, height), slice(0, width)), self.config.cat_max_ratio
        if (height, width) == classes.shape:
            return crop  # the only one there is
        for _ in range(CROP_TRIES):
            top = int(rng.integers(classes.shape[0] - height + 1))
            left = int(rng.integers(classes.shape[1] - width + 1))
            crop = slice(top, top + height), slice(left, left + width)
            if largest >= 1.0 or largest_share(classes[crop]) <= largest:
                break
        return crop


def resize_nearest(values: NDArray[Any], size: Size) -> NDArray[Any]:
    """Resizes a map `(H, W)` to the nearest values, seen from pixels' centres as images are.

    OpenCV's nearest, which mmsegmentation calls, shifts labels by up to half a pixel of the coarser
    map; its exact one rounds half-way points by fixed-point errors.
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


def draw_distortion(rng: np.random.Generator) -> dict[str, Any]:
    """Arguments of `distort`: each change with a chance of a half."""
    used = {name: limits for name, limits in DISTORTIONS.items() if rng.random() < 0.5}
    drawn: dict[str, Any] = {name: float(rng.uniform(*limits)) for name, limits in used.items()}
    return {**drawn, "contrast_first": bool(rng.random() < 0.5)}


def distort(
    image: NDArray[np.uint8],
    *,
    brightness: float = 0.0,
    contrast: float = 1.0,
    saturation: float = 1.0,
    hue: float = 0.0,
    contrast_first: bool = True,
) -> NDArray[np.uint8]:
    """Changes the colours of an image `(H, W, 3)` BGR, which stays as it is.

    Values are cut to 0 to 255 after each change and rounded once at the end; mmsegmentation rounds
    to whole grey levels after each, and to 180 hues.

    Args:
        image: values in 0 to 255.
        brightness: added to all values.
        contrast: factor of all values.
        saturation: factor of the saturation in HSV, which ends at 1.
        hue: turn of the hue in degrees.
        contrast_first: whether the contrast changes before saturation and hue; else after them.
    """
    values = np.clip(image.astype(np.float32) + np.float32(brightness), 0, 255)
    if contrast_first:
        values = np.clip(values * np.float32(contrast), 0, 255)
    if saturation != 1.0 or hue != 0.0:
        hsv = cv2.cvtColor(values, cv2.COLOR_BGR2HSV)  # 0 to 360, 0 to 1 and the range of `values`
        hsv[:, :, 0] = np.mod(hsv[:, :, 0] + np.float32(hue), np.float32(360))
        hsv[:, :, 1] = np.minimum(hsv[:, :, 1] * np.float32(saturation), 1)
        values = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    if not contrast_first:
        values = np.clip(values * np.float32(contrast), 0, 255)
    rounded: NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded
