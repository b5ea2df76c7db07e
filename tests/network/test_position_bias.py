import logging

import numpy as np
import pytest
import torch
from scipy.interpolate import RectBivariateSpline

from benchmarks.builtin_way import relative_position_index
from modelscope_vitadapter.network import position_bias
from modelscope_vitadapter.network.position_bias import (
    interpolate_offsets,
    strided_position_bias,
    table_for_window,
    table_length,
)

GRIDS = [(1, 1), (1, 5), (4, 1), (2, 2), (7, 5), (3, 8), (6, 6)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("grid", GRIDS)
def test_laid_out_by_strides_equals_gathered_by_the_index(grid, dtype):
    table = random_table(grid, heads=3)
    bias = strided_position_bias(table, grid, dtype=dtype)
    gathered = table.t()[:, relative_position_index(grid)].to(dtype)
    assert bias.dtype == dtype
    assert torch.equal(bias.flip(-1), gathered)


@pytest.mark.parametrize("grid", GRIDS)
def test_rows_lie_where_fused_attention_takes_them_without_a_copy(grid):
    bias = strided_position_bias(random_table(grid), grid, dtype=torch.float16)
    assert bias.stride(-1) == 1
    assert all(stride % 8 == 0 for stride in bias.stride()[:-1])
    padding = bias.as_strided((2, bias.stride(1)), (bias.stride(0), 1))[:, bias.shape[-1] :]
    assert not padding.any()  # nothing that could be NaN


@pytest.mark.parametrize("grid", [(1, 1), (1, 4), (3, 2)])
def test_gradients_of_the_strided_bias_equal_those_of_the_gather(grid):
    plain, strided = (random_table(grid).requires_grad_() for _ in range(2))
    gathered = plain.t()[:, relative_position_index(grid)]
    weights = torch.randn(gathered.shape, generator=torch.Generator().manual_seed(1))
    (gathered * weights).sum().backward()
    bias = strided_position_bias(strided, grid, dtype=torch.float32)
    (bias * weights.flip(-1)).sum().backward()
    torch.testing.assert_close(strided.grad, plain.grad, rtol=1e-5, atol=1e-5)


def random_table(grid, heads=2):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(table_length(grid), heads, generator=generator)


@pytest.mark.parametrize("window", [(1, 1), (2, 4), (4, 2), (4, 5), (3, 3)])
def test_a_smaller_window_reads_what_the_whole_index_would(window):
    grid = (4, 5)
    table = random_table(grid)
    bias = table_for_window(table, grid, window)[relative_position_index(window)]

    full = table[relative_position_index(grid)]
    cells = [1 + y * grid[1] + x for y in range(window[0]) for x in range(window[1])]
    tokens = torch.tensor([0, *cells])
    assert torch.equal(bias, full[tokens][:, tokens])


def beit_fine_tuning(table, old, new):
    """BEiT's `resize` of the offsets for square windows, with interp2d's replacement."""
    source, target = 2 * old - 1, 2 * new - 1
    left, right = 1.01, 1.5
    while right - left > 1e-6:
        ratio = (left + right) / 2
        if (1 - ratio ** (source // 2)) / (1 - ratio) > target // 2:
            right = ratio
        else:
            left = ratio
    distances, current = [], 1.0
    for i in range(source // 2):
        distances.append(current)
        current += ratio ** (i + 1)
    at = [-d for d in reversed(distances)] + [0] + distances
    wanted = np.clip(np.arange(-(target // 2), target // 2 + 1.0), at[0], at[-1])
    heads = []
    for head in range(table.shape[1]):
        z = table[:, head].reshape(source, source).double().numpy()
        heads.append(RectBivariateSpline(at, at, z, kx=3, ky=3, s=0)(wanted, wanted).ravel())
    return torch.tensor(np.stack(heads, axis=1))


@pytest.mark.parametrize(("old", "new"), [(3, 4), (4, 7), (7, 9), (4, 40)])
def test_a_larger_window_equals_beits_fine_tuning(old, new):
    offsets = random_table((old, old))[: -position_bias.EXTRA_ROWS]
    found = interpolate_offsets(offsets, (old, old), (new, new))
    torch.testing.assert_close(
        found.double(), beit_fine_tuning(offsets, old, new), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("grid", [(1, 1), (2, 1), (1, 3), (4, 4)])
def test_a_larger_window_keeps_the_centre_and_the_extra_rows(grid):
    table = random_table(grid)
    larger = table_for_window(table, grid, (4, 5))
    assert larger.shape == (table_length((4, 5)), 2)
    assert torch.isfinite(larger).all()
    assert torch.equal(larger[-3:], table[-3:])
    torch.testing.assert_close(larger[9 * 3 + 4], table[len(table) // 2 - 2])
    cut = table_for_window(table, grid, (4, 1))  # larger on one axis, cut on the other
    grown = table_for_window(table, grid, (4, grid[1]))
    assert torch.equal(cut, table_for_window(grown, (4, grid[1]), (4, 1)))


def test_interpolation_is_said_once(caplog):
    position_bias._say_interpolated.cache_clear()
    table = random_table((2, 3))
    with caplog.at_level(logging.WARNING, "modelscope.vitadapter"):
        table_for_window(table, (2, 3), (2, 2))
        assert not caplog.records
        table_for_window(table, (2, 3), (5, 3))
        table_for_window(table, (2, 3), (5, 2))
        table_for_window(table, (2, 3), (5, 3))
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 1
    assert "2 x 3" in messages[0]
    assert "5 x 3" in messages[0]


def test_gradients_reach_the_table_of_a_smaller_window():
    table = random_table((3, 3)).requires_grad_()
    table_for_window(table, (3, 3), (2, 2)).sum().backward()
    assert table.grad.sum() == 2 * (9 + 3)


def test_gradients_reach_the_table_of_a_larger_window():
    table = random_table((3, 3)).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda t: table_for_window(t, (3, 3), (4, 3)), [table])


def test_training_works_after_inference_of_the_same_larger_window():
    position_bias._spline_matrix.cache_clear()
    table = random_table((3, 3)).requires_grad_()
    with torch.inference_mode():
        table_for_window(table, (3, 3), (5, 4))
    larger = table_for_window(table, (3, 3), (5, 4))
    larger.square().sum().backward()
    assert table.grad.abs().sum() > 0
    with torch.autocast("cpu", torch.bfloat16):  # the interpolation is exact
        assert torch.equal(table_for_window(table, (3, 3), (5, 4)), larger)


def test_the_spline_operator_is_well_behaved():
    torch.library.opcheck(position_bias._spline_matrices, ([3, 1], [4, 5], torch.device("cpu")))
