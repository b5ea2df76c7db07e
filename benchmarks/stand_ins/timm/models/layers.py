"""What the built-in model takes from `timm.models.layers`."""

import torch
from torch.nn import Module
from torch.nn.init import trunc_normal_

__all__ = ["DropPath", "drop_path", "to_2tuple", "trunc_normal_"]


def to_2tuple(value):
    """A single value twice; a tuple as it is."""
    return value if isinstance(value, tuple) else (value,) * 2


def drop_path(x, drop_prob=0.0, training=False):
    """Stochastic depth: leaves out whole samples while training, changes nothing otherwise."""
    if not training or drop_prob == 0.0:
        return x
    kept = torch.rand([len(x)] + [1] * (x.dim() - 1), device=x.device) >= drop_prob
    return x * kept.to(x.dtype).div(1.0 - drop_prob)


class DropPath(Module):
    """`drop_path` as a module."""

    def __init__(self, drop_prob=0.0):
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x):
        """Maps any shape to itself."""
        return drop_path(x, self.drop_prob, self.training)
