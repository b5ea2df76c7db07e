"""The test transforms, applied: from a BGR image to what the network is given.

The results equal those of mmdet 2.28's transforms (and of ModelScope's `ResizeToMultiple`) to the
bit for uint8 images; float images differ with the version of OpenCV by its rounding.
"""

from __future__ import annotations

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
    View,
    output_size,
)


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """An image as the network takes it: one view, or several for test-time augmentation."""

    views: tuple[Tensor, ...]
    """`(3, h, w)` float32 each, normalised, in the channel order that the test pipeline ends with
    (RGB as a rule)."""
    flips: tuple[FlipDirection | None, ...]
    """How each view is mirrored: its scores must be mirrored back after the resize to the original
    size. None: not at all."""
    image_size: Size
    """`(height, width)` of the image that the views were made of."""

    def to(self, device: torch.device) -> NetworkInput:
        """The same with its views on a device."""
        views = tuple(view.to(device) for view in self.views)
        return NetworkInput(views, self.flips, self.image_size)


def apply_transform(transform: InputTransform, image: NDArray[Any]) -> NetworkInput:
    """Computes all views of an image.

    Args:
        transform: what `parse_test_pipeline` returns.
        image: `(H, W, 3)` BGR, uint8 or float32 in 0..255, as `read_image` returns; not modified.

    Returns:
        The network's input, with the transform's views in their order.
    """
    return NetworkInput(
        views=tuple(torch.from_numpy(_apply_view(view, image)) for view in transform.views),
        flips=tuple(view.flip for view in transform.views),
        image_size=(int(image.shape[0]), int(image.shape[1])),
    )


def _apply_view(view: View, image: NDArray[Any]) -> NDArray[np.float32]:
    for step in view.steps:
        image = apply_step(step, image)
    return np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32)


def apply_step(step: Step, image: NDArray[Any]) -> NDArray[Any]:
    """Applies a step to an image.

    Args:
        step: one of `config.test_pipeline`.
        image: `(H, W, 3)`, uint8 or float32; not modified.

    Returns:
        `(h, w, 3)` as `output_size` says, C-contiguous; float32 after `Normalize`, else of
        the dtype of `image`.
    """
    height, width = output_size(step, (image.shape[0], image.shape[1]))
    if isinstance(step, Flip):
        result = np.ascontiguousarray(mmcv.imflip(image, direction=step.direction))
    elif isinstance(step, Normalize):
        mean, std = (np.array(values, dtype=np.float32) for values in (step.mean, step.std))
        result = mmcv.imnormalize(image, mean, std, step.to_rgb)
    elif isinstance(step, Pad):
        result = mmcv.impad(image, shape=(height, width), pad_val=step.value)
    else:
        result = mmcv.imresize(image, (width, height), interpolation="bilinear", backend="cv2")
    return result
