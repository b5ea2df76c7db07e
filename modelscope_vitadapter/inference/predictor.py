"""Runs a network over pictures: windows, augmentations, decision."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from modelscope_vitadapter.config.settings import WindowSettings
from modelscope_vitadapter.inference.bands import Decision, ScoreMap, decide
from modelscope_vitadapter.inference.windows import score_images


@dataclass(frozen=True)
class Picture:
    """A picture as the network gets it.

    `inputs` holds one `(3, h, w)` float32 tensor per augmentation, `flips` how each was flipped
    (None, `horizontal` or `vertical`), `size` the `(height, width)` of the picture itself.
    """

    inputs: Sequence[Tensor]
    flips: Sequence[str | None]
    size: tuple[int, int]


def predict(
    network: nn.Module,
    pictures: Sequence[Picture],
    windows: WindowSettings,
    *,
    align_corners: bool = False,
    window_batch_size: int = 1,
    confidence: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Iterator[Decision]:
    """Decides the class of each pixel of each picture.

    Args:
        network: maps `(B, 3, h, w)` to class scores `(B, K, h, w)`.
        pictures: inputs on the network's device.
        windows: how inputs are cut.
        align_corners: how scores are resized.
        window_batch_size: windows that go through the network together.
        confidence: whether each pixel's probability is wanted too.
        dtype: float32, or what autocast computes in.

    Yields:
        A decision for each picture, in order.
    """

    def score(batch: Tensor) -> Tensor:
        reduced = dtype is not torch.float32
        with torch.autocast(batch.device.type, dtype if reduced else None, enabled=reduced):
            scores: Tensor = network(batch)
        return scores.float()

    inputs = [image for picture in pictures for image in picture.inputs]
    maps = score_images(
        score,
        inputs,
        crop=windows.crop_size if windows.mode == "slide" else None,
        stride=windows.stride,
        batch_size=window_batch_size,
    )
    for picture in pictures:
        flips = list(picture.flips)
        score_maps = [
            ScoreMap(scores, flip)
            for scores, flip in zip(islice(maps, len(flips)), flips, strict=True)
        ]
        yield decide(score_maps, picture.size, align_corners=align_corners, confidence=confidence)
