"""Norms of maps, in place and in bands."""

import torch
from torch import Tensor, nn

from modelscope_vitadapter.network.cpu.bands import bands
from modelscope_vitadapter.network.cpu.layout import Shape, as_map


class GroupStatistics:
    """Mean and variance of each group of channels, gathered band by band (Chan et al., 1979).

    Args:
        norm: the group norm that will be applied.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        self._norm = norm
        self._count = 0
        self._mean = torch.zeros(norm.num_channels, dtype=torch.float64, device="cpu")
        self._squares = torch.zeros(norm.num_channels, dtype=torch.float64, device="cpu")

    def add(self, tokens: Tensor) -> None:
        """Takes a band `(n, C)` float32 into account."""
        count = len(tokens)
        mean = tokens.mean(0)
        squares = (tokens - mean).square_().sum(0).double()
        total = self._count + count
        difference = mean.double() - self._mean
        self._squares += squares + difference.square() * (self._count * count / total)
        self._mean += difference * (count / total)
        self._count = total

    def affine(self) -> tuple[Tensor, Tensor]:
        """Scale and shift of every channel, `(C,)` float32, that apply the norm."""
        groups = self._norm.num_groups
        means = self._mean.view(groups, -1)
        mean = means.mean(1, keepdim=True)
        between = (means - mean).square().mean(1)
        variance = self._squares.view(groups, -1).mean(1) / self._count + between
        scale = torch.rsqrt(variance + self._norm.eps)[:, None].expand_as(means).flatten()
        if self._norm.weight is not None:
            scale = scale * self._norm.weight
        shift = -mean.expand_as(means).flatten() * scale
        if self._norm.bias is not None:
            shift = shift + self._norm.bias
        return scale.float(), shift.float()


def group_affine(tokens: Tensor, norm: nn.GroupNorm) -> tuple[Tensor, Tensor]:
    """Scale and shift of every channel, `(C,)` float32, that apply a norm to `(N, C)`."""
    statistics = GroupStatistics(norm)
    for band in bands(len(tokens)):
        statistics.add(tokens[band])
    return statistics.affine()


def normalise(tokens: Tensor, shape: Shape, norm: nn.Module | None) -> None:
    """Applies the norm of a map in place; the plain version is the module itself.

    Args:
        tokens: `(h * w, C)` float32.
        shape: `(h, w)` of the map.
        norm: group, batch or instance norm, or None.
    """
    if isinstance(norm, nn.GroupNorm):
        scale, shift = group_affine(tokens, norm)
        for band in bands(len(tokens)):
            torch.addcmul(shift, tokens[band], scale, out=tokens[band])
    elif norm is not None:
        maps = as_map(tokens, shape)
        maps.copy_(norm(maps))
