"""Stochastic depth (Huang et al., arXiv 1603.09382)."""

import torch
from torch import Tensor

from modelscope_vitadapter.network.sample_noise import NoisyModule


def drop_path(x: Tensor, probability: float, kept: Tensor | None = None) -> Tensor:
    """Zeroes whole samples and rescales the others so that the mean stays.

    Args:
        x: `(B, ...)`.
        probability: chance of a sample to be zeroed, in [0, 1].
        kept: `(B,)`, 1 for the samples that stay and 0 for the others; drawn here if None.

    Returns:
        A tensor of the same shape.
    """
    keep = 1.0 - probability
    if keep == 0.0:
        return x * 0.0
    shape = (x.shape[0], *(1,) * (x.ndim - 1))
    if kept is None:
        mask = torch.empty(shape, dtype=x.dtype, device=x.device).bernoulli_(keep)
    else:
        mask = kept.to(x).view(shape)
    return x * mask / keep


class DropPath(NoisyModule):
    """Drops a residual branch per sample while training; the identity otherwise."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor, site: int = 0) -> Tensor:
        """Maps `(B, ...)` to the same shape; `site` tells a module's calls in one pass apart."""
        if not self.training or self.probability == 0.0:
            return x
        seeds = self.seeds_of(x.shape[0], site)
        if seeds is None:
            return drop_path(x, self.probability)
        kept = torch.tensor([float(seed / 2**64 >= self.probability) for seed in seeds])
        return drop_path(x, self.probability, kept)

    def extra_repr(self) -> str:
        """The drop probability, for the printed module tree."""
        return f"probability={self.probability}"
