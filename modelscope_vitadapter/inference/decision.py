"""From class scores at the inputs' size to a class for each pixel of the picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from modelscope_vitadapter.inference.resampling import Taps, sample

CHUNK_BYTES = 4 * 2**20
"""Memory that the resized scores of the pixels that are decided together may take. Blocks of this
size are taken from the heap again and again, where larger ones would be mapped anew each time;
four times as many pixels took 1.5 times as long for each (171 classes, one core)."""

MARGIN = 1e-5
"""How far the best class must be ahead to be called clear; float32's rounding is 100 times finer,
and a softmax keeps classes apart that differ by this."""

UNCLEAR = -1


@dataclass(frozen=True)
class Field:
    """Scores `(h, w, K)` of some rows of an input, and the taps of a strip's pixels in them."""

    scores: Tensor
    rows: Taps
    columns: Taps


def decide(fields: Sequence[Field], *, confidence: bool, clear: bool) -> tuple[Tensor, Tensor]:
    """Resizes, averages over augmentations after a softmax, and takes the best class.

    Args:
        fields: one for each augmentation.
        confidence: whether the probabilities are wanted too.
        clear: whether pixels whose class is clear are decided without resizing all scores, see
            `clear_classes`; it pays where the picture is larger than the inputs. Has no effect
            where the confidence is wanted.

    Returns:
        Classes `(rows, columns)` int64 and their probabilities float32, empty unless wanted. Ties
        go to the smaller class id.
    """
    shape = (len(fields[0].rows.low), len(fields[0].columns.low))
    device = fields[0].scores.device
    best = torch.empty(shape if confidence else 0, device=device).flatten()
    if clear and not confidence:
        classes = clear_classes(fields).flatten()
        pixels = (classes == UNCLEAR).nonzero()[:, 0]
    else:
        classes = torch.empty(shape, dtype=torch.int64, device=device).flatten()
        pixels = torch.arange(len(classes), device=device)
    # An odd length: with a power of two, the classes of a pixel fall into the same cache lines.
    length = CHUNK_BYTES // (4 * fields[0].scores.shape[-1]) | 1
    for start in range(0, len(pixels), length):
        chunk = pixels[start : start + length]
        top = _probabilities(fields, chunk // shape[1], chunk % shape[1]).max(dim=0)
        classes[chunk] = top.indices
        if confidence:
            best[chunk] = top.values
    return classes.view(shape), best.view(shape) if confidence else best


def _probabilities(fields: Sequence[Field], rows: Tensor, columns: Tensor) -> Tensor:
    """The mean over augmentations of the softmax over classes at some pixels, `(K, N)`.

    Classes lie first, as in the built-in model: where all of them are equal but for rounding, the
    answer hangs on the order in which a softmax adds, and that differs along the last dimension.
    """
    total = None
    for field in fields:
        scores = sample(field.scores, field.rows.at(rows), field.columns.at(columns))
        part = scores.t().softmax(dim=0)
        total = part if total is None else total.add_(part)
    assert total is not None
    return total.div_(len(fields)) if len(fields) > 1 else total


def clear_classes(fields: Sequence[Field]) -> Tensor:
    """The classes that are clear before any scores are resized.

    A resized score is a weighted mean of four pixels' scores. A class that is ahead of every other
    by a margin at all four of them is so in between as well, in every augmentation therefore in
    their mean.

    Returns:
        `(rows, columns)` int64: the class, or `UNCLEAR`.
    """
    agreed = None
    for field in fields:
        cells = _clear_cells(field.scores)
        classes = cells[field.rows.low[:, None], field.columns.low]
        agreed = classes if agreed is None else agreed.where(agreed == classes, UNCLEAR)
    assert agreed is not None
    return agreed


def _clear_cells(scores: Tensor) -> Tensor:
    """For each pixel the class that is clear there, to the right, below, and to the right below."""
    best, classes = scores.max(dim=-1, keepdim=True)
    scores.scatter_(-1, classes, -torch.inf)
    second = scores.amax(dim=-1, keepdim=True)
    scores.scatter_(-1, classes, best)
    clear = best - second > MARGIN + best.abs() * (MARGIN / 10)
    cells = classes.where(clear, UNCLEAR).squeeze(-1)
    for dim in (0, 1):
        last = cells.shape[dim] - 1
        following = torch.arange(last + 1, device=cells.device).add_(1).clamp_(max=last)
        cells = cells.where(cells == cells.index_select(dim, following), UNCLEAR)
    return cells
