"""Seeded weights with which every part of the network shapes the answer and nothing saturates.

A weight depends on its name and shape alone. Layers keep the variance of what goes through them;
layer scales are about 0.3 in place of the 1e-6 that training starts from, so that every block
changes the residual stream by a tenth of its variance; queries stay different from each other, so
that masks have edges. At full size one class wins everywhere all the same.
"""

import math
import zlib

import torch
from torch import Tensor

RECTIFIED = ("mlp.fc2", "ffn.fc2", "ffns.0.layers.1", "mask_embed.2", "mask_embed.4")
"""Layers behind ReLU or GELU: these halve the variance, and their outputs have a mean above 0 that
all tokens share. Twice the gain and rows that sum to 0 make up for it."""

GAINS = (  # in variance, by part of the name; the first that fits
    *((name, 2.0) for name in RECTIFIED),
    ("backbone.spm", 2.0),  # convolutions behind ReLU
    ("qkv", 2.0),  # attention with preferred keys, not the mean of all
    ("sampling_offsets", 0.25),
    ("out_proj", 0.1),  # what attention brings is alike for all queries and would drown them
    ("cls_embed", 9.0),
)

MASK_GAIN = 36.0
"""Divided by the number of channels: mask logits spread by about 4."""


def random_weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """The weight of a name, float32."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    value = torch.randn(shape, generator=generator)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "running_var":
        return value.mul_(0.1).abs_().add_(1)
    if "gamma" in leaf:
        return value.mul_(0.1).add_(0.3)
    if name.endswith("sampling_offsets.bias"):
        return value.mul_(2)  # in cells of the map
    if leaf == "relative_position_bias_table" or "level_" in name:
        return value.mul_(0.5)
    if leaf in ("cls_token", "pos_embed") or "query_" in name:
        return value
    if len(shape) == 1:
        return value.mul_(0.2).add_(1) if leaf == "weight" else value.mul_(0.1)
    if any(part in name for part in (*RECTIFIED, "mask_feature")):
        value -= value.mean(dim=1, keepdim=True)
    return value.mul_(math.sqrt(_gain(name, shape) / _inputs(name, shape)))


def _gain(name: str, shape: tuple[int, ...]) -> float:
    if "mask_feature" in name:
        return MASK_GAIN / shape[0]
    return next((gain for part, gain in GAINS if part in name), 1.0)


def _inputs(name: str, shape: tuple[int, ...]) -> int:
    """How many inputs one output sums up; the transposed convolution's kernels don't overlap."""
    return shape[0] if name.startswith("backbone.up.") else math.prod(shape[1:])
