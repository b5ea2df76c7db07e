"""Stochastic depth (Huang et al., arXiv 1603.09382)."""

import torch
from torch import Tensor, nn


def drop_path(x: Tensor, probability: float) -> Tensor:
    """Zeroes whole samples and rescales the others so that the mean stays.

    Args:
        x: `(B, ...)`.
        probability: chance of a sample to be zeroed, in [0, 1].

    Returns:
        A tensor of the same shape.
    """
    keep = 1.0 - probability
    if keep == 0.0:
        return x * 0.0
    mask = torch.empty(x.shape[0], *(1,) * (x.ndim - 1), dtype=x.dtype, device=x.device)
    return x * mask.bernoulli_(keep) / keep


class DropPath(nn.Module):
    """Drops a residual branch per sample while training; the identity otherwise."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(B, ...)` to the same shape."""
        if not self.training or self.probability == 0.0:
            return x
        return drop_path(x, self.probability)

    def extra_repr(self) -> str:
        """The drop probability, for the printed module tree."""
        return f"probability={self.probability}"
