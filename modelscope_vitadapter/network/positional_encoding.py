"""Sine positional encoding of feature maps (DETR, arXiv 2005.12872), normalised to [0, 2 pi]."""

import math

import torch
from torch import Tensor

TEMPERATURE = 10000.0
EPS = 1e-6


def _axis_encoding(length: int, num_feats: int, device: torch.device) -> Tensor:
    """Sines and cosines of the positions along one axis, `(length, num_feats)` float32."""
    wavelengths = torch.arange(num_feats, dtype=torch.float32, device=device)
    wavelengths = TEMPERATURE ** (2 * (wavelengths // 2) / num_feats)
    at = torch.arange(1, length + 1, dtype=torch.float32, device=device)
    at = at / (at[-1:] + EPS) * (2 * math.pi)
    phase = at[:, None] / wavelengths
    return torch.stack((phase[:, 0::2].sin(), phase[:, 1::2].cos()), dim=-1).flatten(1)


def positional_encoding(height: int, width: int, channels: int, device: torch.device) -> Tensor:
    """Encodes every cell of a map.

    Args:
        height: rows.
        width: columns.
        channels: a multiple of 4; half of them encode the row.
        device: where the result lives.

    Returns:
        `(1, height * width, channels)` float32, the row's features before the column's.
    """
    rows = _axis_encoding(height, channels // 2, device)[:, None].expand(height, width, -1)
    columns = _axis_encoding(width, channels // 2, device)[None].expand(height, width, -1)
    return torch.cat((rows, columns), dim=-1).flatten(0, 1).unsqueeze(0)
