"""Norms folded into the linear maps beside them."""

import torch
from torch import Tensor, nn


def batch_norm_scale(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Scale and shift `(C,)` of a batch norm in evaluation.

    Raises:
        ValueError: the norm keeps no running statistics, so it depends on its input.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a batch norm without running statistics cannot be folded")
    scale = torch.rsqrt(norm.running_var + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -norm.running_mean * scale
    return scale, shift if norm.bias is None else shift + norm.bias


def fold_batch_norm(
    weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d
) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that its batch norm follows.

    Args:
        weight: `(C, in, kh, kw)`.
        bias: `(C,)` or None.
        norm: of C channels.
    """
    scale, shift = batch_norm_scale(norm)
    folded = weight * scale[:, None, None, None]
    return folded, shift if bias is None else shift + bias * scale


def fold_before(weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of a linear map that follows a batch norm.

    Args:
        weight: `(out, C)`.
        bias: `(out,)` or None.
        norm: of C channels.
    """
    scale, shift = batch_norm_scale(norm)
    moved = weight @ shift
    return weight * scale, moved if bias is None else moved + bias
