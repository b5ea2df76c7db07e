"""From a class and a mask for each query to a score for each class at each pixel of a view."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from modelscope_vitadapter.inference.interpolation import interpolate, interpolation_weights
from modelscope_vitadapter.inference.sliding_window import Window

STRIDE = 4
"""Pixels of a window for each pixel of its masks."""


@dataclass(frozen=True)
class WindowMasks:
    """What the network found in one window: `classes` `(Q, K)` and `masks` `(h, w, Q)`.

    Both are probabilities, float32, contiguous; a class's score at a pixel is the sum over queries
    of their products (MaskFormer, arXiv 2107.06278, section 3.4). Masks are a quarter of the padded
    window's size: together this is about Q / (16 K) of the size of these scores.
    """

    classes: Tensor
    masks: Tensor

    @staticmethod
    def of(class_logits: Tensor, mask_logits: Tensor, *, transposed: bool = False) -> "WindowMasks":
        """From `(Q, K + 1)` and `(Q, h, w)` logits; `transposed`: rows and columns change place."""
        classes = class_logits.float().softmax(dim=-1)[:, :-1].contiguous()
        # A copy even of one query, so that the batch that it came in can be freed.
        masks = mask_logits.permute((2, 1, 0) if transposed else (1, 2, 0)).float()
        return WindowMasks(classes, masks.clone(memory_format=torch.contiguous_format).sigmoid_())

    def scores(self, rows: range, width: int) -> Tensor:
        """Class scores `(len(rows), width, K)` of consecutive rows of the window, 0 or above.

        They are not normalised over classes; `width` is the window's before it was padded.
        """
        height, low_width = self.masks.shape[:2]
        device = self.masks.device
        wanted = torch.arange(rows.start, rows.stop, device=device)
        down = interpolation_weights(wanted, height, STRIDE * height)
        across = interpolation_weights(
            torch.arange(width, device=device), low_width, STRIDE * low_width
        )
        first, last = int(down.low[0]), int(down.high[-1])
        low = self.masks[first : last + 1] @ self.classes
        return interpolate(low, down.minus(first).view(-1, 1), across.view(1, -1))


def averaged_scores(parts: Sequence[tuple[Window, WindowMasks]], rows: range, width: int) -> Tensor:
    """Class scores `(len(rows), width, K)` of consecutive rows of a view, averaged over windows.

    `parts` are the windows that hold a part of these rows, each with what was found in it.
    """
    window, found = parts[0]
    if len(parts) == 1:  # windows side by side reach the same rows: it is as wide as the view
        return found.scores(range(rows.start - window.top, rows.stop - window.top), width)
    total = found.masks.new_zeros(len(rows), width, found.classes.shape[-1])
    count = found.masks.new_zeros(len(rows), width, 1)
    for window, found in parts:
        top, bottom = max(rows.start, window.top), min(rows.stop, window.bottom)
        scores = found.scores(range(top - window.top, bottom - window.top), window.width)
        place = (
            slice(top - rows.start, bottom - rows.start),
            slice(window.left, window.left + window.width),
        )
        total[place] += scores
        count[place] += 1
    return total.div_(count)
