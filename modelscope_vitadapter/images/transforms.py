"""The test-time transform: from a BGR image to what the network is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modelscope_vitadapter.images.pipeline_config import parse_views
from modelscope_vitadapter.images.steps import FlipDirection, Size
from modelscope_vitadapter.images.views import View

__all__ = ["InputTransform", "NetworkInput", "View", "apply_transform", "parse_transform"]


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


@dataclass(frozen=True)
class InputTransform:
    """The test pipeline of a model: one view, or several for test-time augmentation."""

    views: tuple[View, ...]
    """In the order of mmdet's `MultiScaleFlipAug`: scales outside, flips inside, unflipped
    first."""
    to_float32: bool = False
    """Whether the image is turned to floats before it is resized."""

    def network_sizes(self, size: Size) -> tuple[Size, ...]:
        """Return the size of each view of an image of this size, without computing one.

        Args:
            size: `(height, width)` of the original image.

        Returns:
            `(height, width)` of each view.
        """
        return tuple(view.output_size(size) for view in self.views)


def parse_transform(pipeline: Sequence[Mapping[str, Any]]) -> InputTransform:
    """Read a test pipeline, `data.test.pipeline` of a model's configuration.

    What the built-in pipeline of ModelScope runs is honoured: a loader (its type is irrelevant,
    since the image is at hand), then `MultiScaleFlipAug` around `Resize`, `ResizeToMultiple`,
    `RandomFlip`, `Normalize` and `Pad` in any order; `ImageToTensor`, `DefaultFormatBundle` and
    `Collect` only format and have no effect.

    Args:
        pipeline: Dicts of a `type` and its arguments.

    Returns:
        The transform, with one view per scale and flip.

    Raises:
        ConfigError: A transform or an argument cannot be honoured; it names both.
    """
    views, to_float32 = parse_views(pipeline)
    return InputTransform(views=views, to_float32=to_float32)


def apply_transform(transform: InputTransform, image: NDArray[Any]) -> NetworkInput:
    """Compute all views of an image.

    Matches the `img` that mmdet 2.28's transforms give (see `steps` for its limits).

    Args:
        transform: What `parse_transform` returns.
        image: `(H, W, 3)` BGR, uint8 or float32 in 0..255, as `read_image` returns; not modified.

    Returns:
        The network's input, with the transform's views in their order.
    """
    if transform.to_float32:
        image = image.astype(np.float32)
    return NetworkInput(
        views=tuple(torch.from_numpy(_run(view, image)) for view in transform.views),
        flips=tuple(view.flip for view in transform.views),
        image_size=(int(image.shape[0]), int(image.shape[1])),
    )


def _run(view: View, image: NDArray[Any]) -> NDArray[np.float32]:
    for step in view.steps:
        image = step(image)
    return np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32)
