"""From a class and a mask for each query to a score for each class at each pixel."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from modelscope_vitadapter.inference.resampling import bilinear_taps, sample
from modelscope_vitadapter.inference.windows import Window

STRIDE = 4
"""Pixels of a window for each pixel of its masks."""


def semantic_scores(class_logits: Tensor, mask_logits: Tensor) -> Tensor:
    """Per-pixel class scores from per-query classes and masks (MaskFormer, arXiv 2107.06278, 3.4).

    Args:
        class_logits: `(B, Q, K + 1)`, "no object" last.
        mask_logits: `(B, Q, h, w)`.

    Returns:
        `(B, K, h, w)`, at least 0; not normalised over classes.
    """
    classes = class_logits.softmax(dim=-1)[..., :-1]
    return torch.einsum("bqc,bqhw->bchw", classes, mask_logits.sigmoid())


def window_scores(
    class_logits: Tensor, mask_logits: Tensor, size: tuple[int, int], *, align_corners: bool
) -> Tensor:
    """Class scores at every pixel of a window, `(B, K, height, width)`, all at once.

    Args:
        class_logits: `(B, Q, K + 1)`, "no object" last.
        mask_logits: `(B, Q, h, w)` of the window padded to `(4 h, 4 w)`.
        size: `(height, width)` of the window before it was padded.
        align_corners: as in `torch.nn.functional.interpolate`.
    """
    padded = (STRIDE * mask_logits.shape[-2], STRIDE * mask_logits.shape[-1])
    scores = semantic_scores(class_logits, mask_logits)
    scores = F.interpolate(scores, padded, mode="bilinear", align_corners=align_corners)
    return scores[..., : size[0], : size[1]]


@dataclass(frozen=True)
class WindowScores:
    """What the network found in one window: `classes` `(Q, K)` and `masks` `(h, w, Q)`.

    Both are probabilities, float32, contiguous. Masks are a quarter of the padded window's size:
    together this is about Q / (16 K) of the size of the class scores that follow from it.
    """

    classes: Tensor
    masks: Tensor

    @staticmethod
    def of(
        class_logits: Tensor, mask_logits: Tensor, *, transposed: bool = False
    ) -> "WindowScores":
        """From `(Q, K + 1)` and `(Q, h, w)` logits; `transposed`: rows and columns change place."""
        classes = class_logits.float().softmax(dim=-1)[:, :-1].contiguous()
        # A copy even of one query, so that the batch that it came in can be freed.
        masks = mask_logits.permute((2, 1, 0) if transposed else (1, 2, 0)).float()
        return WindowScores(classes, masks.clone(memory_format=torch.contiguous_format).sigmoid_())

    def scores(self, rows: range, width: int, *, align_corners: bool) -> Tensor:
        """Class scores of some rows of the window.

        Args:
            rows: consecutive rows of the window.
            width: of the window before it was padded.
            align_corners: as in `torch.nn.functional.interpolate`.

        Returns:
            `(len(rows), width, K)`: these rows of what `window_scores` gives.
        """
        height, low_width = self.masks.shape[:2]
        device = self.masks.device
        down = bilinear_taps(
            torch.arange(rows.start, rows.stop, device=device),
            height,
            STRIDE * height,
            align_corners=align_corners,
        )
        across = bilinear_taps(
            torch.arange(width, device=device),
            low_width,
            STRIDE * low_width,
            align_corners=align_corners,
        )
        first, last = int(down.low[0]), int(down.high[-1])
        low = self.masks[first : last + 1] @ self.classes
        return sample(low, down.minus(first).view(-1, 1), across.view(1, -1))


def averaged_scores(
    parts: Sequence[tuple[Window, WindowScores]],
    rows: range,
    width: int,
    *,
    align_corners: bool,
) -> Tensor:
    """Class scores of some rows of an input, averaged where windows overlap.

    Args:
        parts: the windows that hold a part of these rows, each with what was found in it.
        rows: consecutive rows of the input.
        width: of the input.
        align_corners: as in `torch.nn.functional.interpolate`.

    Returns:
        `(len(rows), width, K)`.
    """
    window, prediction = parts[0]
    if len(parts) == 1:  # windows side by side reach the same rows: it is as wide as the input
        inside = range(rows.start - window.top, rows.stop - window.top)
        return prediction.scores(inside, width, align_corners=align_corners)
    total = prediction.masks.new_zeros(len(rows), width, prediction.classes.shape[-1])
    count = prediction.masks.new_zeros(len(rows), width, 1)
    for window, prediction in parts:
        top, bottom = max(rows.start, window.top), min(rows.stop, window.top + window.height)
        inside = range(top - window.top, bottom - window.top)
        place = slice(top - rows.start, bottom - rows.start)
        columns = slice(window.left, window.left + window.width)
        total[place, columns] += prediction.scores(
            inside, window.width, align_corners=align_corners
        )
        count[place, columns] += 1
    return total.div_(count)
