"""Stochastic depth (Huang et al., arXiv 1603.09382) that belongs to samples, not to processes.

What is dropped from a sample follows from the sample's own seed and from the place in the network,
so that neither the batch that a sample is in, nor the process that computes it, nor a recomputed
activation changes it. Without seeds, PyTorch's global generators are used as everywhere.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_BITS = 64
_MASK = 2**_BITS - 1


def mixed(*numbers: int) -> int:
    """A number in [0, 2**64) that looks random, the same for the same numbers.

    SplitMix64 (Steele, Lea and Flood, 2014), fed with one number after the other.
    """
    state = 0
    for number in numbers:
        state = (state + (number & _MASK) + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


class DropPath(nn.Module):
    """Drops a residual branch per sample while training; the identity otherwise.

    Args:
        probability: chance of a sample to be zeroed, in [0, 1]; the others are scaled so that the
            mean stays.
    """

    sample_seeds: tuple[int, ...] | None = None
    """A seed for each sample of the batch, or None for PyTorch's global generators."""

    place = 0
    """Tells this module's numbers from those of others."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor, site: int = 0) -> Tensor:
        """Maps `(B, ...)` to the same shape; `site` tells a module's calls in one pass apart.

        Raises:
            ValueError: seeds were set for another number of samples.
        """
        if not self.training or self.probability == 0.0:
            return x
        if self.probability == 1.0:
            return x * 0.0
        kept = self._kept(x, site).view(-1, *(1,) * (x.ndim - 1))
        return x * kept / (1.0 - self.probability)

    def _kept(self, x: Tensor, site: int) -> Tensor:
        """1 for the samples of `x` that stay and 0 for the others, `(B,)`."""
        batch, seeds = x.shape[0], self.sample_seeds
        if seeds is None:
            return x.new_empty(batch).bernoulli_(1.0 - self.probability)
        if len(seeds) != batch:
            raise ValueError(
                f"seeds were set for {len(seeds)} samples, the batch has {batch}: call "
                "set_sample_seeds with the seeds of this batch, or with None"
            )
        drawn = [mixed(seed, self.place, site) / 2**_BITS for seed in seeds]
        return torch.tensor([float(one >= self.probability) for one in drawn]).to(x)

    def extra_repr(self) -> str:
        """The drop probability, for the printed module tree."""
        return f"probability={self.probability}"


def set_sample_seeds(network: nn.Module, seeds: Sequence[int] | None) -> None:
    """Says what the next passes draw their random numbers from.

    They hold until they are set anew, so that activations that are computed again in the backward
    pass are the same.

    Args:
        network: any module.
        seeds: one for each sample of the batches to come, or None for PyTorch's generators.
    """
    dropping = (module for module in network.modules() if isinstance(module, DropPath))
    for place, module in enumerate(dropping):
        module.sample_seeds = None if seeds is None else tuple(seeds)
        module.place = place
