"""Bilinear resizing of maps that are laid out as tokens."""

import torch
from torch import Tensor
from torch.nn import functional as F

from modelscope_vitadapter.network.cpu.layout import Shape, as_map, as_tokens


def resize_tokens(tokens: Tensor, shape: Shape, size: Shape) -> Tensor:
    """`F.interpolate(map, size, mode="bilinear")` for tokens.

    Args:
        tokens: `(h * w, C)`.
        shape: `(h, w)`.
        size: `(H, W)` asked for.

    Returns:
        `(H * W, C)`; `tokens` itself where the size is the same.
    """
    if shape == size:
        return tokens
    maps = as_map(tokens, shape)
    return as_tokens(F.interpolate(maps, size, mode="bilinear", align_corners=False))


def resize_band(tokens: Tensor, shape: Shape, size: Shape, rows: slice) -> Tensor:
    """Some rows of `resize_tokens`.

    Args:
        tokens: `(h * w, C)`.
        shape: `(h, w)`.
        size: `(H, W)` of the whole result.
        rows: consecutive rows of the result.

    Returns:
        `((rows.stop - rows.start) * W, C)`.
    """
    maps = tokens.view(*shape, -1)
    at = torch.arange(rows.start, rows.stop, dtype=torch.float32, device=tokens.device)
    at = ((at + 0.5) * (shape[0] / size[0]) - 0.5).clamp_(min=0)
    above = at.long().clamp_(max=shape[0] - 1)
    below = (above + 1).clamp_(max=shape[0] - 1)
    part = torch.lerp(maps[above], maps[below], (at - above)[:, None, None])
    lines = part.unsqueeze(1).permute(0, 3, 1, 2)  # (n, C, 1, w), channels last
    return as_tokens(F.interpolate(lines, (1, size[1]), mode="bilinear", align_corners=False))
