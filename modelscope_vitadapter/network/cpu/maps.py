"""Maps that are laid out as tokens, row by row: resized and normed.

`(N, C)` tokens are a channels-last map `(1, C, h, w)` with N = h * w, so that either is a view of
the other.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelscope_vitadapter.network.cpu.bands import bands, row_bands

Shape = tuple[int, int]


def as_map(tokens: Tensor, shape: Shape) -> Tensor:
    """Tokens `(h * w, C)` as a channels-last map `(1, C, h, w)`."""
    return tokens.view(1, *shape, -1).permute(0, 3, 1, 2)


def as_tokens(maps: Tensor) -> Tensor:
    """Maps `(n, C, h, w)` as tokens `(n * h * w, C)`; copied only if they are not channels-last."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


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


def add_resized(tokens: Tensor, shape: Shape, above: Tensor, above_shape: Shape) -> None:
    """Adds a map `above`, resized, to the map `tokens` in place, without holding all of it."""
    for rows in row_bands(*shape):
        part = tokens[rows.start * shape[1] : rows.stop * shape[1]]
        part.add_(resize_band(above, above_shape, shape, rows))


def normalise(tokens: Tensor, norm: nn.GroupNorm) -> None:
    """Applies the norm of a map to its tokens `(N, C)` float32, in place."""
    means = tokens.mean(0).double().view(norm.num_groups, -1)
    mean = means.mean(1, keepdim=True).expand_as(means).flatten()
    squares = torch.zeros_like(mean)
    for band in bands(len(tokens)):
        squares += (tokens[band] - mean.float()).square_().sum(0)
    variance = squares.view(norm.num_groups, -1).mean(1, keepdim=True) / len(tokens)
    scale = torch.rsqrt(variance + norm.eps).expand_as(means).flatten() * norm.weight
    shift = (norm.bias - mean * scale).float()
    for band in bands(len(tokens)):
        torch.addcmul(shift, tokens[band], scale.float(), out=tokens[band])


def fold_before(weight: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the linear map `(out, C)` that follows a batch norm in evaluation."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = torch.rsqrt(norm.running_var + norm.eps) * norm.weight
    return weight * scale, weight @ (norm.bias - norm.running_mean * scale)
