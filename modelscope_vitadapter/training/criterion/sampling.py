"""Values of maps at points between their pixels (PointRend, arXiv 1912.08193, section 3.1).

Points are `(x, y)` in [0, 1] across the whole map, so that the centre of pixel (row i, column j)
of an h x w map is `((j + 0.5) / w, (i + 0.5) / h)` and one point serves maps of any size. Beyond
the outermost pixel centres the value fades towards 0, as with zeros around the map.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

PIXELS_AT_ONCE = 2**25
"""Mask pixels that exist as float32 at a time: 128 MiB, 41 masks of a crop of 896 x 896."""


def sample_maps(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear values of maps at points.

    Args:
        maps: `(N, h, w)` floating point, N at least 1.
        points: `(P, 2)` for all maps, or `(N, P, 2)` for each its own; (x, y) in [0, 1].

    Returns:
        `(N, P)`.
    """
    shared = points.dim() == 2
    grid = 2 * points.to(maps.dtype) - 1
    sampled = F.grid_sample(
        maps[None] if shared else maps[:, None],
        grid[None, :, None] if shared else grid[:, :, None],
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    )
    return sampled[0, :, :, 0] if shared else sampled[:, 0, :, 0]


def sample_masks(masks: Tensor, points: Tensor) -> Tensor:
    """`sample_maps` of boolean masks, a few at a time, so that memory stays bounded.

    Args:
        masks: `(N, H, W)` bool, N at least 1.
        points: `(P, 2)` for all masks, or `(N, P, 2)` for each its own; (x, y) in [0, 1].

    Returns:
        `(N, P)` float32 in [0, 1].
    """
    count = max(1, PIXELS_AT_ONCE // max(1, masks.shape[-2] * masks.shape[-1]))
    if masks.shape[0] <= count:
        return sample_maps(masks.float(), points)
    parts = [
        sample_maps(
            masks[start : start + count].float(),
            points if points.dim() == 2 else points[start : start + count],
        )
        for start in range(0, masks.shape[0], count)
    ]
    return torch.cat(parts)
