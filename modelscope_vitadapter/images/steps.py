"""The steps of a test-time transform, as pure functions of an image.

The results equal those of mmdet 2.28's transforms (and of ModelScope's `ResizeToMultiple`) to the
bit for uint8 images resized bilinearly; other interpolations and float images differ with the
version of OpenCV by its rounding. Sizes are `(height, width)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

import mmcv
import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.errors import ImageError

Size = tuple[int, int]
"""`(height, width)` in pixels."""

FlipDirection = Literal["horizontal", "vertical"]


class Step(Protocol):
    """One operation on an image."""

    def output_size(self, size: Size) -> Size:
        """Return the size of the result for an image of this size, without computing it."""

    def __call__(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return the result for an `(H, W, 3)` image; the image is not modified."""


@dataclass(frozen=True)
class Resize:
    """mmdet's `Resize`, once its scale is known.

    A side of the result has at least one pixel, where mmcv's rounding gives 0 and fails.
    """

    scale: tuple[float, float] | float
    """Box `(height, width)` in pixels that bounds the result, either way up with `keep_ratio`; or
    a factor of the image's own size."""
    keep_ratio: bool = True
    """Whether the aspect ratio stays; else the result is as large as the box."""
    interpolation: str = "bilinear"
    backend: str = "cv2"
    """`cv2` or `pillow`; Pillow takes uint8 images only."""

    def output_size(self, size: Size) -> Size:
        """Return the size of the result (`mmcv.rescale_size` with sides of at least 1)."""
        box = self.scale
        if not isinstance(box, tuple):
            box = (max(int(size[0] * box), 1), max(int(size[1] * box), 1))
        if self.keep_ratio:
            width, height = mmcv.rescale_size((size[1], size[0]), box)
            return max(height, 1), max(width, 1)
        return int(box[0]), int(box[1])

    def __call__(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return the resized image, of the dtype of `image`."""
        if self.backend == "pillow" and image.dtype != np.uint8:
            raise ImageError(
                f"image of {image.dtype} cannot be resized: the test pipeline resizes with the "
                "backend 'pillow', which takes uint8 only"
            )
        height, width = self.output_size((image.shape[0], image.shape[1]))
        return _array(
            mmcv.imresize(
                image, (width, height), interpolation=self.interpolation, backend=self.backend
            )
        )


@dataclass(frozen=True)
class ResizeToMultiple:
    """ModelScope's `ResizeToMultiple`: both sides up to the next multiple."""

    divisor: Size = (32, 32)
    """Divisors of height and width."""
    interpolation: str = "bilinear"

    def output_size(self, size: Size) -> Size:
        """Return the size, rounded up to multiples."""
        return _round_up(size, self.divisor)

    def __call__(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return the resized image, of the dtype of `image`."""
        return _array(
            mmcv.imresize_to_multiple(
                image,
                (self.divisor[1], self.divisor[0]),
                scale_factor=1,
                interpolation=self.interpolation,
                backend="cv2",
            )
        )


@dataclass(frozen=True)
class Flip:
    """mmdet's `RandomFlip`, once its direction is known."""

    direction: FlipDirection

    def output_size(self, size: Size) -> Size:
        """Return the size as it is."""
        return size

    def __call__(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return the mirrored image, of the dtype of `image`."""
        return np.ascontiguousarray(mmcv.imflip(image, direction=self.direction))


@dataclass(frozen=True)
class Normalize:
    """mmdet's `Normalize`: minus mean, over standard deviation."""

    mean: tuple[float, float, float]
    """Per channel, in the channel order of the result, for values in 0..255."""
    std: tuple[float, float, float]
    """Per channel, as `mean`; never 0."""
    to_rgb: bool = True
    """Whether BGR becomes RGB first."""

    def output_size(self, size: Size) -> Size:
        """Return the size as it is."""
        return size

    def __call__(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return the normalised image, float32."""
        mean = np.array(self.mean, dtype=np.float32)
        std = np.array(self.std, dtype=np.float32)
        return _array(mmcv.imnormalize(image, mean, std, self.to_rgb))


@dataclass(frozen=True)
class Pad:
    """mmdet's `Pad`: a constant border below and to the right.

    The built-in model resizes the scores of the padded image to the original size and does not cut
    the border off; nothing about the padding has to be known after this step.
    """

    size: Size | None = None
    """Least size of the result, or None."""
    divisor: int | None = None
    """Both sides become multiples of it, or None."""
    square: bool = False
    """Whether the result is a square as long as the longer side."""
    value: float | tuple[float, float, float] = 0.0
    """Value of the border per channel. OpenCV takes a single number for the first channel and 0
    for the others, as the built-in pipeline does."""

    def output_size(self, size: Size) -> Size:
        """Return the padded size."""
        if self.square:
            return max(size), max(size)
        if self.divisor is not None:
            return _round_up(size, (self.divisor, self.divisor))
        height, width = self.size or size
        return max(height, size[0]), max(width, size[1])

    def __call__(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return the padded image, of the dtype of `image`."""
        shape = self.output_size((image.shape[0], image.shape[1]))
        return _array(mmcv.impad(image, shape=shape, pad_val=self.value))


def _round_up(size: Size, divisor: Size) -> Size:
    return -(-size[0] // divisor[0]) * divisor[0], -(-size[1] // divisor[1]) * divisor[1]


def _array(result: object) -> NDArray[Any]:
    """Give the result of an untyped mmcv function its type."""
    return cast("NDArray[Any]", result)
