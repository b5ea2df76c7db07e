"""Random numbers of training that belong to samples, not to processes.

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


class NoisyModule(nn.Module):
    """A module that draws random numbers while it is trained."""

    sample_seeds: tuple[int, ...] | None = None
    """A seed for each sample of the batch, or None for PyTorch's global generators."""

    place = 0
    """Tells this module's numbers from those of others."""

    def seeds_of(self, batch: int, site: int = 0) -> list[int] | None:
        """What this module seeds each of `batch` samples with.

        Args:
            batch: number of samples, B.
            site: tells calls of one module in one pass apart.

        Raises:
            ValueError: seeds were set for another number of samples.
        """
        if self.sample_seeds is None:
            return None
        if len(self.sample_seeds) != batch:
            raise ValueError(
                f"seeds were set for {len(self.sample_seeds)} samples, the batch has {batch}: call "
                "set_sample_seeds with the seeds of this batch, or with None"
            )
        return [mixed(seed, self.place, site) for seed in self.sample_seeds]


class Dropout(nn.Dropout, NoisyModule):
    """`torch.nn.Dropout` whose zeros can follow from the samples' seeds."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(B, ...)` to the same shape."""
        seeds = self.seeds_of(x.shape[0]) if self.training and 0.0 < self.p < 1.0 else None
        if seeds is None:
            return super().forward(x)
        keep = torch.stack([_uniform(seed, x[i]) for i, seed in enumerate(seeds)]) >= self.p
        return x * keep / (1.0 - self.p)


def _uniform(seed: int, like: Tensor) -> Tensor:
    """Numbers in [0, 1) of the shape and on the device of a tensor."""
    generator = torch.Generator(like.device).manual_seed(seed % 2**63)
    return torch.rand(like.shape, generator=generator, device=like.device)


def set_sample_seeds(network: nn.Module, seeds: Sequence[int] | None) -> None:
    """Says what the next passes draw their random numbers from.

    They hold until they are set anew, so that activations that are computed again in the backward
    pass are the same. Dropout inside of attention (`attn_drop`) is not reached: it is drawn inside
    PyTorch's fused operator.

    Args:
        network: any module.
        seeds: one for each sample of the batches to come, or None for PyTorch's generators.
    """
    noisy = (module for module in network.modules() if isinstance(module, NoisyModule))
    for place, module in enumerate(noisy):
        module.sample_seeds = None if seeds is None else tuple(seeds)
        module.place = place
