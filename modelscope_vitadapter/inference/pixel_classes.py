"""From class scores of an image's views to a class for each pixel of the image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from modelscope_vitadapter.inference.interpolation import InterpolationWeights, interpolate

CHUNK_BYTES = 4 * 2**20
"""Memory that the interpolated scores of the pixels that are decided together may take. Blocks of
this size are taken from the heap again and again, where larger ones would be mapped anew each time;
four times as many pixels took 1.5 times as long for each (171 classes, one core)."""

MARGIN = 1e-5
"""How far the best class must be ahead to be called clear; float32's rounding is 100 times finer,
and a softmax keeps classes apart that differ by this."""

UNCLEAR = -1


@dataclass(frozen=True)
class StripScores:
    """Scores `(h, w, K)` of some rows of a view, and a strip's interpolation weights in them."""

    scores: Tensor
    rows: InterpolationWeights
    columns: InterpolationWeights


def pixel_classes(
    views: Sequence[StripScores],
    *,
    count: int = 1,
    probabilities: bool = False,
    enlarged: bool,
    keep: Callable[[int, Tensor], None] | None = None,
    start: int = 0,
) -> tuple[Tensor, Tensor | None]:
    """Interpolates, averages over views after a softmax, and takes the best classes.

    Where the image is `enlarged`, larger than its views, and no probabilities are wanted, pixels
    whose class is clear are decided without interpolating all scores, see `clear_classes`: with 171
    classes and 24 megapixels in a tenth of the time.

    Args:
        views: scores of a strip.
        count: how many of the best classes of a pixel are wanted; more than one, or `keep`, only
            with probabilities.
        probabilities: whether those of the best classes are wanted.
        enlarged: see above.
        keep: is given the number of a pixel and the probabilities `(K, N)` of all classes at the N
            pixels from it on, row by row.
        start: the number of the strip's first pixel.

    Returns:
        Classes `(count, rows, columns)` int64, the best one first, and their probabilities float32
        where they are wanted. Ties go to the smaller class id.
    """
    shape = (len(views[0].rows.low), len(views[0].columns.low))
    device, number = views[0].scores.device, shape[0] * shape[1]
    values = torch.empty(count, number, device=device) if probabilities else None
    if enlarged and not probabilities:
        classes = clear_classes(views).flatten()[None]
        pixels = (classes[0] == UNCLEAR).nonzero()[:, 0]
    else:
        classes = torch.empty(count, number, dtype=torch.int64, device=device)
        pixels = torch.arange(number, device=device)
    # An odd length: with a power of two, the classes of a pixel fall into the same cache lines.
    length = CHUNK_BYTES // (4 * views[0].scores.shape[-1]) | 1
    for place, chunk in enumerate(torch.split(pixels, length)):
        chances = _probabilities(views, chunk // shape[1], chunk % shape[1])
        if keep is not None:
            keep(start + place * length, chances)
        for rank in range(count):
            best = chances.max(dim=0)
            classes[rank, chunk] = best.indices
            if values is not None:
                values[rank, chunk] = best.values
            if rank + 1 < count:
                chances.scatter_(0, best.indices[None], -1.0)
    return classes.view(-1, *shape), None if values is None else values.view(-1, *shape)


def _probabilities(views: Sequence[StripScores], rows: Tensor, columns: Tensor) -> Tensor:
    """The mean over views of the softmax over classes at some pixels, `(K, N)`.

    Classes lie first, as in the built-in model: where all of them are equal but for rounding, the
    answer hangs on the order in which a softmax adds, and that differs along the last dimension.
    """
    parts = (
        interpolate(view.scores, view.rows.at(rows), view.columns.at(columns)).t().softmax(dim=0)
        for view in views
    )
    total = next(parts)
    for part in parts:
        total.add_(part)
    return total.div_(len(views)) if len(views) > 1 else total


def clear_classes(views: Sequence[StripScores]) -> Tensor:
    """Classes `(rows, columns)` int64 that are clear before scores are interpolated, or `UNCLEAR`.

    An interpolated score is a weighted mean of four pixels' scores. A class that is ahead of every
    other by a margin at all four of them is so in between as well, in every view therefore in
    their mean.
    """
    agreed: Tensor | None = None
    for view in views:
        classes = _clear_cells(view.scores)[view.rows.low[:, None], view.columns.low]
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
