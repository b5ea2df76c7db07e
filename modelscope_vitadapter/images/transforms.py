"""The test transforms, applied: from a BGR image to what the network is given.

The results equal those of mmdet 2.28's transforms (and of ModelScope's `ResizeToMultiple`) to the
bit for uint8 images; float images differ with the version of OpenCV by its rounding.
"""

from dataclasses import dataclass
from typing import Any

import mmcv
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modelscope_vitadapter.config.settings import Size
from modelscope_vitadapter.config.test_pipeline import (
    Flip,
    FlipDirection,
    InputTransform,
    Normalize,
    Pad,
    Step,
    output_size,
)


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """An image as the network takes it: one view, or several for test-time augmentation."""

    views: tuple[Tensor, ...]
    """`(3, h, w)` float32, normalised, in the test pipeline's channel order (RGB as a rule)."""
    flips: tuple[FlipDirection | None, ...]
    """How each view is mirrored: its scores are mirrored back once they have the image's size."""
    image_size: Size  # of the image that the views were made of

    def to(self, device: torch.device) -> "NetworkInput":
        """The same with its views on a device."""
        views = tuple(view.to(device) for view in self.views)
        return NetworkInput(views, self.flips, self.image_size)


def apply_transform(transform: InputTransform, image: NDArray[Any]) -> NetworkInput:
    """Computes all views of an image `(H, W, 3)` BGR, uint8 or float32 in 0..255, not modified."""
    views = []
    for view in transform.views:
        result = image
        for step in view.steps:
            result = apply_step(step, result)
        views.append(torch.from_numpy(np.ascontiguousarray(result.transpose(2, 0, 1), np.float32)))
    flips = tuple(view.flip for view in transform.views)
    return NetworkInput(tuple(views), flips, (int(image.shape[0]), int(image.shape[1])))


def apply_step(step: Step, image: NDArray[Any]) -> NDArray[Any]:
    """Applies a step to an image `(H, W, 3)`, uint8 or float32, which is not modified.

    Returns:
        `(h, w, 3)` as `output_size` says, C-contiguous; float32 after `Normalize`, else of
        the dtype of `image`.
    """
    height, width = output_size(step, (image.shape[0], image.shape[1]))
    if isinstance(step, Flip):
        result = np.ascontiguousarray(mmcv.imflip(image, direction=step.direction))
    elif isinstance(step, Normalize):
        mean, std = (np.array(values, np.float32) for values in (step.mean, step.std))
        result = mmcv.imnormalize(image, mean, std, step.to_rgb)
    elif isinstance(step, Pad):
        result = mmcv.impad(image, shape=(height, width), pad_val=step.value)
    else:
        result = mmcv.imresize(image, (width, height), interpolation="bilinear", backend="cv2")
    return result
