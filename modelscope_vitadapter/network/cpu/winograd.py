"""3 x 3 convolution with Winograd's minimal filtering F(4 x 4, 3 x 3) (arXiv 1509.09308)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from modelscope_vitadapter.network.cpu.bands import Scratch
from modelscope_vitadapter.network.cpu.linear import PackedLinear
from modelscope_vitadapter.network.cpu.padding import padded_bands

TILE = 4
"""Outputs of a tile along each axis; it reads TILE + 2 inputs."""

TILES = 112
"""Tiles of a band: 8 rows of the 224 x 224 map of an 896 x 896 window.

The 36 products of a band take 17 MB at 1024 channels; twice as many tiles are no faster.
"""

# The paper's G for F(4 x 4, 3 x 3): from a filter's rows to those of its transform.
_FILTER_TRANSFORM = (
    (1 / 4, 0.0, 0.0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0.0, 0.0, 1.0),
)


def transformed_filters(weight: Tensor) -> list[PackedLinear]:
    """The 36 matrices of a convolution `(out, in, 3, 3)`, row by row."""
    transform = weight.new_tensor(_FILTER_TRANSFORM, dtype=torch.float64)
    pairs = torch.einsum("ai,bj->abij", transform, transform).view(36, 9).to(weight.dtype)
    taps = weight.flatten(2).permute(2, 0, 1).flatten(1).contiguous()  # (9, out * in)
    out, in_channels = weight.shape[:2]
    return [PackedLinear((pair[None] @ taps).view(out, in_channels), rows=TILES) for pair in pairs]


def _transform_input(d: Sequence[Tensor]) -> list[Tensor]:
    """The paper's B transposed, along one axis: six inputs to six."""
    even, odd = d[4] - 4 * d[2], d[3] - 4 * d[1]
    near, far = d[4] - d[2], (d[3] - d[1]).mul_(2)
    first = torch.add(d[4], d[0], alpha=4).sub_(d[2], alpha=5)
    last = torch.add(d[5], d[1], alpha=4).sub_(d[3], alpha=5)
    return [first, even + odd, even.sub_(odd), near + far, near.sub_(far), last]


def _transform_output(m: Sequence[Tensor]) -> list[Tensor]:
    """The paper's A transposed, along one axis: six products to four outputs."""
    sum1, difference1 = m[1] + m[2], m[1] - m[2]
    sum2, difference2 = m[3] + m[4], m[3] - m[4]
    return [
        (m[0] + sum1).add_(sum2),
        torch.add(difference1, difference2, alpha=2),
        sum1.add_(sum2, alpha=4),
        difference1.add_(difference2, alpha=8).add_(m[5]),
    ]


def convolve_by_winograd(
    tokens: Tensor, shape: tuple[int, int], weight: Tensor, scratch: Scratch
) -> None:
    """`F.conv2d(map, weight, padding=1)`, written over its input.

    A quarter of the products of a direct convolution: with the full-size model 0.4 of its time.
    They are float32 always: the transforms spread values too widely for less.

    Args:
        tokens: `(H * W, C)` float32, the map row by row; H and W multiples of 4.
        shape: `(H, W)`.
        weight: `(C, C, 3, 3)`.
        scratch: memory for bands.
    """
    height, width = shape
    channels = tokens.shape[1]
    filters = transformed_filters(weight)
    maps = tokens.view(height, width, channels)
    columns = width // TILE
    for band, padded in padded_bands(
        maps, torch.float32, scratch, height=max(1, TILES // columns), step=TILE
    ):
        count = (band.stop - band.start) // TILE
        rows = [padded[i::TILE][:count] for i in range(TILE + 2)]
        products = []
        for i, row in enumerate(_transform_input(rows)):
            columns_of_row = [row[:, j::TILE][:, :columns] for j in range(TILE + 2)]
            tiles = [tile.view(-1, channels) for tile in _transform_input(columns_of_row)]
            products.append([filters[6 * i + j](tile) for j, tile in enumerate(tiles)])
        by_row = [_transform_output(column) for column in zip(*products, strict=True)]
        out = maps[band].view(count, TILE, columns, TILE, channels)
        for i in range(TILE):
            for j, tile in enumerate(_transform_output([column[i] for column in by_row])):
                out[:, i, :, j] = tile.view(count, columns, channels)
