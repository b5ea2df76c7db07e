"""From class scores at the network's size to a class per pixel at the picture's, band by band.

The scores of all classes never exist at the picture's size at once: rows are resized, normalised
and decided in bands.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Size = tuple[int, int]

BAND_BYTES = 64 * 2**20
"""Memory that the scores of one band may take."""


@dataclass(frozen=True)
class ScoreMap:
    """Class scores `(K, h, w)` of one augmentation and how its input was flipped."""

    scores: Tensor
    flip: str | None = None


@dataclass(frozen=True)
class Decision:
    """The class of each pixel, `(H, W)` int64, and its probability, `(H, W)` float16 or None."""

    class_map: Tensor
    confidence: Tensor | None


def resize_rows(scores: Tensor, size: Size, rows: range, *, align_corners: bool) -> Tensor:
    """Some rows of `F.interpolate(scores, size, mode='bilinear')`.

    Args:
        scores: `(K, h, w)` float32.
        size: `(height, width)` of the whole result.
        rows: consecutive rows of the result.
        align_corners: as in `torch.nn.functional.interpolate`.

    Returns:
        `(K, len(rows), width)`.
    """
    height, width = size
    source = scores.shape[-2]
    at = torch.arange(rows.start, rows.stop, dtype=torch.float32, device=scores.device)
    if align_corners:
        at = at * ((source - 1) / (height - 1) if height > 1 else 0.0)
    else:
        scale = torch.tensor(source, dtype=torch.float32, device=scores.device) / height
        at = (scale * (at + 0.5) - 0.5).clamp_(min=0)
    above = at.long().clamp_(max=source - 1)
    below = (above + 1).clamp_(max=source - 1)
    first, last = int(above[0]), int(below[-1])
    part = scores[:, first : last + 1]
    if part.shape[-1] != width:
        part = F.interpolate(
            part[None], (part.shape[1], width), mode="bilinear", align_corners=align_corners
        )[0]
    if height == source:
        return part[:, above - first]
    weight = (at - above)[:, None]
    return part[:, above - first] * (1 - weight) + part[:, below - first] * weight


def _probabilities(score_map: ScoreMap, size: Size, rows: range, align_corners: bool) -> Tensor:
    """Softmax over classes of some rows of the upright picture, `(K, len(rows), W)`."""
    if score_map.flip == "vertical":
        mirrored = range(size[0] - rows.stop, size[0] - rows.start)
        part = resize_rows(score_map.scores, size, mirrored, align_corners=align_corners).flip(1)
    else:
        part = resize_rows(score_map.scores, size, rows, align_corners=align_corners)
    if score_map.flip == "horizontal":
        part = part.flip(2)
    return part.softmax(dim=0)


def decide(
    score_maps: Sequence[ScoreMap],
    size: Size,
    *,
    align_corners: bool = False,
    confidence: bool = False,
    band_bytes: int = BAND_BYTES,
) -> Decision:
    """Resizes, averages over augmentations and takes the best class of each pixel.

    Args:
        score_maps: one for each augmentation of the same picture.
        size: `(height, width)` of the picture.
        align_corners: as in `torch.nn.functional.interpolate`.
        confidence: whether the probabilities are wanted too.
        band_bytes: memory that the scores of one band may take.

    Returns:
        On the scores' device. Ties go to the smaller class id.
    """
    height, width = size
    scores = score_maps[0].scores
    band = max(1, band_bytes // (4 * len(scores) * width))
    class_map = torch.empty(size, dtype=torch.int64, device=scores.device)
    best = torch.empty(size, dtype=torch.float16, device=scores.device) if confidence else None
    for start in range(0, height, band):
        rows = range(start, min(start + band, height))
        total = _probabilities(score_maps[0], size, rows, align_corners)
        for score_map in score_maps[1:]:
            total = total.add_(_probabilities(score_map, size, rows, align_corners))
        if len(score_maps) > 1:
            total = total.div_(len(score_maps))
        probability, class_map[rows.start : rows.stop] = total.max(dim=0)
        if best is not None:
            best[rows.start : rows.stop] = probability
    return Decision(class_map, best)
