"""Relative position bias of BEiT (arXiv 2106.08254), for windows of any size.

A table holds one row of per-head biases for each offset `(dy, dx)` between two patches of the
training window and three more: class token to patch, patch to class token, class token to itself.
"""

from functools import lru_cache

import torch
from torch import Tensor

from modelscope_vitadapter.logs import get_logger

GridSize = tuple[int, int]

logger = get_logger()

EXTRA_ROWS = 3
"""Rows behind the offsets: class to patch, patch to class, class to class."""


def table_length(grid: GridSize) -> int:
    """Rows of the table of a window of `(height, width)` patches."""
    return (2 * grid[0] - 1) * (2 * grid[1] - 1) + EXTRA_ROWS


def relative_position_index(grid: GridSize, *, device: torch.device | str = "cpu") -> Tensor:
    """Which row of the table of this very grid each pair of tokens reads.

    Args:
        grid: `(height, width)` of the window in patches.
        device: where the result lives.

    Returns:
        `(1 + height * width, 1 + height * width)` int64; token 0 is the class token.
    """
    height, width = grid
    y = torch.arange(height, device=device).repeat_interleave(width)
    x = torch.arange(width, device=device).repeat(height)
    dy = y[:, None] - y[None, :] + height - 1
    dx = x[:, None] - x[None, :] + width - 1
    rows = table_length(grid)
    index = torch.empty(1 + height * width, 1 + height * width, dtype=torch.int64, device=device)
    index[1:, 1:] = dy * (2 * width - 1) + dx
    index[0, 1:] = rows - 3
    index[1:, 0] = rows - 2
    index[0, 0] = rows - 1
    return index


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
        _say_interpolated(table_grid, grid)
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
    near offsets keep their biases and far ones are stretched. Differentiability ends here.

    Args:
        offsets: `((2 h - 1) * (2 w - 1), M)` for `table_grid = (h, w)`.
        table_grid: the trained window in patches.
        grid: the larger window in patches, at least `table_grid` on each axis.

    Returns:
        `((2 H - 1) * (2 W - 1), M)` for `grid = (H, W)`.
    """
    from scipy.interpolate import make_interp_spline

    maps = offsets.detach().double().cpu().numpy()
    maps = maps.reshape(2 * table_grid[0] - 1, 2 * table_grid[1] - 1, -1)
    for axis, (old, new) in enumerate(zip(table_grid, grid, strict=True)):
        if old == 1:
            maps = maps.repeat(2 * new - 1, axis=axis)
        elif old != new:
            sources = _source_positions(old, new)
            targets = [min(max(at, sources[0]), sources[-1]) for at in range(1 - new, new)]
            spline = make_interp_spline(sources, maps, k=min(3, 2 * old - 2), axis=axis)
            maps = spline(targets)
    return torch.from_numpy(maps).to(offsets).flatten(0, 1)


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
