"""3 x 3 convolution of a map, written over its input: by Winograd, or of gathered neighbours."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from modelscope_vitadapter.network.cpu.bands import bands, has_matrix_tiles
from modelscope_vitadapter.network.cpu.linear import PackedLinear
from modelscope_vitadapter.network.cpu.maps import Shape

GATHERED_ROWS = 896
"""Cells of a band: 4 rows of an 896 x 896 window's finest map, whose neighbourhoods take 17 MB in
bfloat16 at 1024 channels."""

TILE = 4
"""Outputs of a tile along each axis; it reads TILE + 2 inputs."""

TILES = 112
"""Tiles of a band: 8 rows of that map, whose 36 products take 17 MB at 1024 channels."""

# The paper's G for F(4 x 4, 3 x 3): from a filter's rows to those of its transform.
_FILTER_TRANSFORM = (
    (1 / 4, 0.0, 0.0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0.0, 0.0, 1.0),
)


def convolve_in_place(tokens: Tensor, shape: Shape, weight: Tensor, dtype: torch.dtype) -> None:
    """`F.conv2d(map, weight, padding=1)`, written over its input.

    Where bfloat16 products are cheap, all of them are made: on a processor with matrix tiles the
    finest map of the full-size model took 1.6 to 1.8 s, Winograd's quarter in float32 2.2 s.

    Args:
        tokens: `(H * W, C)` float32, the map row by row; H and W multiples of 4.
        shape: `(H, W)`.
        weight: `(C, C, 3, 3)`.
        dtype: what products may be computed in.
    """
    if dtype is torch.bfloat16 and has_matrix_tiles():
        convolve_gathered(tokens, shape, weight, dtype)
    else:
        convolve_by_winograd(tokens, shape, weight)


def convolve_gathered(tokens: Tensor, shape: Shape, weight: Tensor, dtype: torch.dtype) -> None:
    """The convolution as a linear layer of every cell's neighbourhood (im2col)."""
    height, width = shape
    channels = tokens.shape[1]
    project = PackedLinear(weight.permute(0, 2, 3, 1).flatten(1), dtype=dtype, rows=GATHERED_ROWS)
    maps = tokens.view(height, width, channels)
    for band, padded in padded_bands(maps, dtype, height=max(1, GATHERED_ROWS // width)):
        count = band.stop - band.start
        neighbours = padded.new_empty(count, width, 9, channels)
        for i in range(3):
            for j in range(3):
                neighbours[:, :, 3 * i + j] = padded[i : i + count, j : j + width]
        maps[band] = project(neighbours.view(count * width, -1)).view(count, width, channels)


def convolve_by_winograd(tokens: Tensor, shape: Shape, weight: Tensor) -> None:
    """The convolution by minimal filtering F(4 x 4, 3 x 3) (arXiv 1509.09308).

    A quarter of the products of a direct convolution: with the full-size model 0.4 of its time.
    They are float32 always: the transforms spread values too widely for less.
    """
    height, width = shape
    channels = tokens.shape[1]
    filters = transformed_filters(weight)
    maps = tokens.view(height, width, channels)
    columns = width // TILE
    for band, padded in padded_bands(
        maps, torch.float32, height=max(1, TILES // columns), step=TILE
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


def transformed_filters(weight: Tensor) -> list[PackedLinear]:
    """The 36 matrices of a convolution `(out, in, 3, 3)`, row by row."""
    transform = weight.new_tensor(_FILTER_TRANSFORM, dtype=torch.float64)
    pairs = torch.einsum("ai,bj->abij", transform, transform).view(36, 9).to(weight.dtype)
    filters = weight.flatten(2).permute(2, 0, 1).flatten(1).contiguous()  # (9, out * in)
    shape = weight.shape[:2]
    return [PackedLinear((pair[None] @ filters).view(shape), rows=TILES) for pair in pairs]


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


def padded_bands(
    maps: Tensor, dtype: torch.dtype, *, height: int, step: int = 1
) -> Iterator[tuple[slice, Tensor]]:
    """Bands of a map's rows, each with one row and column of its neighbours or zeros on every side.

    Whoever takes a band may write over its rows: what the next band needs of them is kept.

    Args:
        maps: `(H, W, C)`, H a multiple of `step`.
        dtype: of the bands.
        height: most rows of a band, in steps.
        step: rows come in multiples of it.

    Yields:
        The rows, and `(n + 2, W + 2, C)`.
    """
    rows, width, channels = maps.shape
    above = maps.new_zeros(width, channels)
    for band in bands(rows // step, height):
        top, bottom = band.start * step, band.stop * step
        padded = maps.new_empty(bottom - top + 2, width + 2, channels, dtype=dtype)
        padded[:, 0] = 0
        padded[:, -1] = 0
        padded[0, 1:-1] = above
        padded[1:-1, 1:-1] = maps[top:bottom]
        padded[-1, 1:-1] = maps[bottom] if bottom < rows else 0
        above = maps[bottom - 1].clone()
        yield slice(top, bottom), padded
