"""How training views are drawn, with the recipe of the ViT-Adapter paper as defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from modelscope_vitadapter.config.test_pipeline import Normalize, Size

Range = tuple[float, float]
"""Lowest and highest value of a uniform draw."""


@dataclass(frozen=True)
class PhotometricSettings:
    """What colours may become.

    Each of the four changes is drawn on its own, with probability `probability`.

    Raises:
        ValueError: A value is out of its range; it is named.
    """

    brightness: float = 32.0
    """Largest offset, either sign, of values in 0..255."""
    contrast: Range = (0.5, 1.5)
    """Factors of all values."""
    saturation: Range = (0.5, 1.5)
    """Factors of the saturation in HSV."""
    hue: float = 18.0
    """Largest turn of the hue, either sign, in OpenCV's units of 2 degrees."""
    probability: float = 0.5
    """Chance of each change, in [0, 1]."""

    def __post_init__(self) -> None:
        _check_limits("brightness", self.brightness, 0.0, 255.0)
        _check_range("contrast", self.contrast, least=0.0)
        _check_range("saturation", self.saturation, least=0.0)
        _check_limits("hue", self.hue, 0.0, 90.0)
        _check_limits("probability", self.probability, 0.0, 1.0)


@dataclass(frozen=True)
class AugmentationSettings:
    """How a training view is made of a labelled picture.

    The defaults are those of the ViT-Adapter authors' configuration for COCO-Stuff-164k
    (Chen et al., arXiv 2205.08534), which draws with mmsegmentation's `Resize`, `RandomCrop`,
    `RandomFlip` and `PhotoMetricDistortion`.

    Raises:
        ValueError: A value is out of its range; it is named.
    """

    crop_size: Size
    """`(height, width)` in pixels of every view."""
    scale: tuple[float, float]
    """Longer and shorter side, in either order, of the box that bounds a picture resized at ratio
    1: (3584, 896) in the paper's configuration."""
    ratio_range: Range = (0.5, 2.0)
    """Factors of `scale`."""
    cat_max_ratio: float = 0.75
    """Largest share of a crop's labelled pixels that one class may have; 1: crops are taken as
    they are drawn."""
    crop_tries: int = 10
    """Crops drawn in search of one that keeps to `cat_max_ratio`; the last is taken as it is."""
    flip: float = 0.5
    """Chance of being mirrored left to right, in [0, 1]."""
    photometric: bool | PhotometricSettings = field(default_factory=PhotometricSettings)
    """How colours change. True: as the defaults say; False: not at all."""
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    """Per channel of the network's input, for values in 0..255: ImageNet's, RGB."""
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    """Per channel, as `mean`; never 0."""
    to_rgb: bool = True
    """Whether the network takes RGB; else BGR."""

    def __post_init__(self) -> None:
        for name, sides in (("crop_size", self.crop_size), ("scale", self.scale)):
            if len(sides) != 2 or not all(1 <= side < math.inf for side in sides):
                raise ValueError(f"{name}={sides!r}: expected two sides of at least 1 pixel")
        if not all(isinstance(side, int) for side in self.crop_size):
            raise ValueError(f"crop_size={self.crop_size!r}: expected whole numbers")
        _check_range("ratio_range", self.ratio_range, least=1e-3)
        _check_limits("cat_max_ratio", self.cat_max_ratio, 0.0, 1.0)
        if self.crop_tries < 1:
            raise ValueError(f"crop_tries={self.crop_tries!r}: expected at least 1")
        _check_limits("flip", self.flip, 0.0, 1.0)
        for name, value in (("mean", self.mean), ("std", self.std)):
            if len(value) != 3 or not all(math.isfinite(one) for one in value):
                raise ValueError(f"{name}={value!r}: expected three numbers, one per channel")
        if 0.0 in self.std:
            raise ValueError(f"std={self.std!r}: expected no 0, since values are divided by it")

    @property
    def distortion(self) -> PhotometricSettings | None:
        """How colours change, or None where they do not."""
        if isinstance(self.photometric, PhotometricSettings):
            return self.photometric
        return PhotometricSettings() if self.photometric else None

    @property
    def normalize(self) -> Normalize:
        """From a BGR picture to the values that the network takes."""
        return Normalize(self.mean, self.std, self.to_rgb)


def _check_limits(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name}={value!r}: expected a number from {low:g} to {high:g}")


def _check_range(name: str, value: Range, *, least: float) -> None:
    if len(value) != 2 or not least <= value[0] <= value[1] < math.inf:
        raise ValueError(
            f"{name}={value!r}: expected the lowest and the highest value, from {least:g} on"
        )
