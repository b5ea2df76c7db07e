"""Relative position bias of BEiT (arXiv 2106.08254), for windows of any size.

A table holds one row of per-head biases for each offset `(dy, dx)` between two patches of the
training window and three more: class token to patch, patch to class token, class token to itself.
"""

from functools import lru_cache

import torch
from torch import Tensor

from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.network.precision import full_precision

GridSize = tuple[int, int]

logger = get_logger()

EXTRA_ROWS = 3
"""Rows behind the offsets: class to patch, patch to class, class to class."""

ROW_ALIGNMENT = 8
"""Elements to a multiple of which a row of `strided_position_bias` is padded in memory.

`scaled_dot_product_attention` hands a bias to CUDA's memory-efficient kernel as it is if all its
strides are multiples of 8, and makes a padded copy of any other.
"""


def table_length(grid: GridSize) -> int:
    """Rows of the table of a window of `(height, width)` patches."""
    return (2 * grid[0] - 1) * (2 * grid[1] - 1) + EXTRA_ROWS


def strided_position_bias(table: Tensor, grid: GridSize, *, dtype: torch.dtype) -> Tensor:
    """The bias of every pair of tokens, keys in reversed order, without an index.

    A bias depends on the difference of two positions; with reversed keys that is a sum, so that all
    rows are overlapping windows of the table that strided copies lay out. A window of 56 x 56
    patches with 16 heads takes 0.13 s that way on 2 CPU cores in float32, gathering by an index, as
    BEiT does, 0.95 s and making the index 0.4 s.

    Args:
        table: `(table_length(grid), M)`, see `table_for_window`.
        grid: `(height, width)` of the window in patches.
        dtype: of the result; attention wants its queries' one.

    Returns:
        `(M, N, N)` with N = 1 + height * width: queries with the class token first, keys with the
        class token last. Rows lie `ROW_ALIGNMENT` elements or a multiple of that apart.
    """
    height, width = grid
    cells = height * width
    tokens = 1 + cells
    rows = table.to(dtype).t()
    padded = (tokens + ROW_ALIGNMENT - 1) // ROW_ALIGNMENT * ROW_ALIGNMENT
    bias = rows.new_empty(rows.shape[0], tokens, padded)
    offsets = rows[:, :-EXTRA_ROWS].reshape(-1, 2 * height - 1, 2 * width - 1)
    # first the columns' windows, 1/28 of the whole at 56 x 56: the rest is copied in long runs
    columns = offsets.unfold(2, width, 1).transpose(1, 2).contiguous()
    windows = columns.unfold(2, height, 1).permute(0, 2, 1, 4, 3)
    patches = bias[:, 1:, :cells].view(-1, height, width, height, width)
    patches.copy_(windows)
    bias[:, 0, :cells].copy_(rows[:, -3:-2].expand(-1, cells))
    bias[:, 1:, cells].copy_(rows[:, -2:-1].expand(-1, cells))
    bias[:, 0, cells].copy_(rows[:, -1])
    bias[:, :, tokens:].zero_()
    return bias[:, :, :tokens]


def table_for_window(table: Tensor, table_grid: GridSize, window: GridSize) -> Tensor:
    """The table of a window of another size than the one that was trained.

    Offsets that the trained table holds are read from it; where the window is larger, the table is
    interpolated first, as BEiT's fine-tuning code does when the crop grows.

    Args:
        table: `(table_length(table_grid), M)`.
        table_grid: `(height, width)` in patches that the table was made for.
        window: `(height, width)` in patches that is asked for.

    Returns:
        `(table_length(window), M)`.
    """
    if window == table_grid:
        return table
    offsets, extra = table[:-EXTRA_ROWS], table[-EXTRA_ROWS:]
    grid = (max(window[0], table_grid[0]), max(window[1], table_grid[1]))
    if grid != table_grid:
        offsets = interpolate_offsets(offsets, table_grid, grid)
    maps = offsets.view(2 * grid[0] - 1, 2 * grid[1] - 1, -1)
    top, left = grid[0] - window[0], grid[1] - window[1]
    maps = maps[top : top + 2 * window[0] - 1, left : left + 2 * window[1] - 1]
    return torch.cat((maps.flatten(0, 1), extra))


@lru_cache(maxsize=64)
def _say_interpolated(table_grid: GridSize, grid: GridSize) -> None:
    """Logs once per size that a table is interpolated."""
    logger.warning(
        "The position bias was trained for windows of %d x %d patches and is interpolated to "
        "%d x %d. A test_cfg.crop_size of at most the backbone's img_size avoids it.",
        *table_grid,
        *grid,
    )


def interpolate_offsets(offsets: Tensor, table_grid: GridSize, grid: GridSize) -> Tensor:
    """Spreads the rows of offsets over a larger window by a cubic spline.

    The trained offsets are placed at distances that grow geometrically from the centre, so that
    near offsets keep their biases and far ones are stretched.

    Args:
        offsets: `((2 h - 1) * (2 w - 1), M)` for `table_grid = (h, w)`.
        table_grid: the trained window in patches.
        grid: the larger window in patches, at least `table_grid` on each axis.

    Returns:
        `((2 H - 1) * (2 W - 1), M)` for `grid = (H, W)`.
    """
    rows, columns = _spline_matrices(list(table_grid), list(grid), offsets.device)
    maps = offsets.view(2 * table_grid[0] - 1, 2 * table_grid[1] - 1, -1).to(rows.dtype)
    with full_precision(offsets):
        maps = torch.einsum("yi,xj,ijm->yxm", rows, columns, maps)
    return maps.to(offsets.dtype).flatten(0, 1)


@torch.library.custom_op("modelscope_vitadapter::spline_matrices", mutates_args=())
def _spline_matrices(
    table_grid: list[int], grid: list[int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """What `interpolate_offsets` multiplies rows and columns of offsets with.

    An operator of its own, so that `torch.compile` calls SciPy and the log where it can't trace
    them; the matrices are made once per size and device.
    """
    _say_interpolated((table_grid[0], table_grid[1]), (grid[0], grid[1]))
    rows, columns = (
        _spline_matrix(old, new, device) for old, new in zip(table_grid, grid, strict=True)
    )
    return rows.clone(), columns.clone()


@_spline_matrices.register_fake
def _(table_grid: list[int], grid: list[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Shapes and dtype only, for tracing."""
    rows, columns = (
        torch.empty(2 * new - 1, 2 * old - 1, dtype=_spline_dtype(device), device=device)
        for old, new in zip(table_grid, grid, strict=True)
    )
    return rows, columns


def _spline_dtype(device: torch.device) -> torch.dtype:
    """Double precision where the device is known to have it."""
    return torch.float64 if device.type in ("cpu", "cuda") else torch.float32


@lru_cache(maxsize=64)
def _spline_matrix(old: int, new: int, device: torch.device) -> Tensor:
    """`(2 new - 1, 2 old - 1)`: a cubic spline is linear in the values that it goes through."""
    from scipy.interpolate import make_interp_spline

    if old == 1:
        matrix = torch.ones(2 * new - 1, 1, dtype=torch.float64)
    elif old == new:
        matrix = torch.eye(2 * new - 1, dtype=torch.float64)
    else:
        sources = _source_positions(old, new)
        targets = [min(max(at, sources[0]), sources[-1]) for at in range(1 - new, new)]
        units = torch.eye(2 * old - 1, dtype=torch.float64).numpy()
        spline = make_interp_spline(sources, units, k=min(3, 2 * old - 2))
        matrix = torch.from_numpy(spline(targets))
    return matrix.to(device, _spline_dtype(device))


def _source_positions(old: int, new: int) -> list[float]:
    """Where BEiT's fine-tuning code puts the offsets `1 - old ... old - 1` of one axis.

    The steps between neighbours grow by a ratio q in [1.01, 1.5] that is found by bisection so that
    the outermost offset lands at `new - 1`.
    """
    steps, reach = old - 1, new - 1
    low, high = 1.01, 1.5
    ratio = (low + high) / 2
    while high - low > 1e-6:
        ratio = (low + high) / 2
        if (1.0 - ratio**steps) / (1.0 - ratio) > reach:
            high = ratio
        else:
            low = ratio
    distances = [0.0]
    for power in range(steps):
        distances.append(distances[-1] + ratio**power)
    return [-distance for distance in reversed(distances[1:])] + distances
