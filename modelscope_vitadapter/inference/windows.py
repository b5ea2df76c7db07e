"""Sliding windows: an image of any size through a network that sees one crop at a time.

Knows no model: windows go through a callable that scores them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Size = tuple[int, int]
Score = Callable[[Tensor], Tensor]
"""Windows `(B, 3, h, w)` to class scores `(B, K, h, w)`."""


@dataclass(frozen=True)
class Window:
    """One window: its upper left corner and its size, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, image: Tensor) -> Tensor:
        """This part of `(..., H, W)`, as a view."""
        return image[..., self.top : self.top + self.height, self.left : self.left + self.width]


def window_origins(length: int, crop: int, stride: int) -> list[int]:
    """Where the windows along one axis begin; the last one is pulled back inside.

    Args:
        length: pixels of the image along the axis.
        crop: pixels of a window; a shorter image has one window of its own length.
        stride: pixels between window origins.
    """
    count = max(length - crop + stride - 1, 0) // stride + 1
    return [max(min(i * stride + crop, length) - crop, 0) for i in range(count)]


def windows_of(size: Size, crop: Size | None, stride: Size | None) -> list[Window]:
    """All windows of an image of `size`, row by row; one window of the whole without a `crop`."""
    if crop is None or stride is None:
        return [Window(0, 0, *size)]
    height, width = min(crop[0], size[0]), min(crop[1], size[1])
    return [
        Window(top, left, height, width)
        for top in window_origins(size[0], crop[0], stride[0])
        for left in window_origins(size[1], crop[1], stride[1])
    ]


def score_images(
    score: Score,
    images: Sequence[Tensor],
    *,
    crop: Size | None,
    stride: Size | None,
    batch_size: int = 1,
) -> Iterator[Tensor]:
    """Scores images window by window and averages where windows overlap.

    Windows of equal size go through `score` together, also those of neighbouring images.

    Args:
        score: the network.
        images: each `(3, H, W)`, on the network's device.
        crop: window size, or None for the whole image at once.
        stride: steps between windows, or None.
        batch_size: windows in one call of `score`.

    Yields:
        For each image `(K, H, W)`, in order, as soon as its last window is done.
    """
    plans = [windows_of((image.shape[-2], image.shape[-1]), crop, stride) for image in images]
    jobs = ((i, window) for i, plan in enumerate(plans) for window in plan)
    left = [len(plan) for plan in plans]
    sums: dict[int, Tensor] = {}
    for batch in _batches(jobs, batch_size):
        scores = score(torch.stack([window.of(images[i]) for i, window in batch]))
        for (i, window), window_scores in zip(batch, scores, strict=True):
            if i not in sums:
                sums[i] = window_scores.new_zeros(len(window_scores), *images[i].shape[-2:])
            window.of(sums[i]).add_(window_scores)
            left[i] -= 1
            if left[i] == 0:
                yield sums.pop(i).div_(_window_count(images[i], plans[i]))


def _batches(
    jobs: Iterable[tuple[int, Window]], batch_size: int
) -> Iterator[list[tuple[int, Window]]]:
    """Runs of at most `batch_size` jobs whose windows are of one size."""
    batch: list[tuple[int, Window]] = []
    for job in jobs:
        window = job[1]
        size = (window.height, window.width)
        if batch and (len(batch) == batch_size or (batch[0][1].height, batch[0][1].width) != size):
            yield batch
            batch = []
        batch.append(job)
    if batch:
        yield batch


def _window_count(image: Tensor, plan: Sequence[Window]) -> Tensor:
    """How many windows cover each pixel, `(H, W)`."""
    count = torch.zeros(image.shape[-2:], device=image.device)
    for window in plan:
        window.of(count).add_(1)
    return count
