import pytest
import torch

from modelscope_vitadapter.network.beit import Attention
from modelscope_vitadapter.network.cpu import attention as module
from modelscope_vitadapter.network.cpu.attention import (
    HeadBias,
    banded_attention,
    fused_attention,
    run_attention,
    window_table,
)
from modelscope_vitadapter.network.cpu.bands import Scratch
from modelscope_vitadapter.network.position_bias import relative_position_index, table_length
from tests.support.networks import random_image as noise
from tests.support.networks import randomise, relative_error

# Scores are sums of a few products and a softmax keeps relative errors: some of 24 bits' units.
ROUNDING = 2e-6
# Scores, weights and values are rounded to 8 bits.
BFLOAT16_ROUNDING = 2e-2

GRIDS = [(1, 1), (1, 5), (5, 1), (2, 3), (4, 4), (7, 5)]


WAYS = [banded_attention, fused_attention]


def result(attend, q, k, v, table, grid, scratch=None):
    """Attention of queries, keys and values `(M, N, D)` in the plain order."""
    heads, tokens, head_dim = q.shape
    out = q.new_empty(tokens, heads * head_dim)
    keys, values = k.flip(1).contiguous(), v.flip(1).contiguous()
    attend(q, keys, values, table, grid, out, scratch or Scratch())
    return out


def banded(*given):
    return result(banded_attention, *given)


def explicit(q, k, v, table, grid):
    """Softmax attention written out in double precision, the bias gathered by an index."""
    scores = q.double() @ k.double().transpose(1, 2)
    if table is not None:
        scores = scores + table.double()[:, relative_position_index(grid)]
    return (scores.softmax(-1) @ v.double()).transpose(0, 1).flatten(1)


def arguments(grid, heads=2, head_dim=4, *, bias=True):
    tokens = 1 + grid[0] * grid[1]
    q, k, v = (noise(heads, tokens, head_dim, seed=i) for i in range(3))
    return q, k, v, noise(heads, table_length(grid), seed=3) if bias else None, grid


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("grid", GRIDS)
def test_equals_softmax_attention(banding, packing, grid, bias):
    given = arguments(grid, bias=bias)
    assert relative_error(banded(*given), explicit(*given)) < ROUNDING


@pytest.mark.parametrize(("heads", "head_dim"), [(1, 1), (3, 5), (4, 16)])
def test_heads_of_any_number_and_width(heads, head_dim):
    given = arguments((3, 4), heads, head_dim)
    assert relative_error(banded(*given), explicit(*given)) < ROUNDING


@pytest.mark.parametrize("rows", [1, 4, 5, 6, 11, 35, 1000])
def test_bands_of_any_height(monkeypatch, rows):
    monkeypatch.setattr(module, "SCORE_ROWS", rows)
    given = arguments((7, 5))
    assert relative_error(banded(*given), explicit(*given)) < ROUNDING


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("grid", GRIDS)
def test_fused_equals_softmax_attention(grid, bias):
    given = arguments(grid, bias=bias)
    assert relative_error(result(fused_attention, *given), explicit(*given)) < ROUNDING


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("bias", [True, False])
def test_many_tokens(way, bias):
    # 785 queries and keys: PyTorch's fused operator cuts both into blocks
    q, k, v, table, grid = arguments((28, 28), heads=1, head_dim=64, bias=bias)
    exact = explicit(q / 8, k, v, table, grid)
    assert relative_error(result(way, q / 8, k, v, table, grid), exact) < 2 * ROUNDING
    found = result(way, *(x.bfloat16() for x in (q / 8, k, v)), table, grid)
    assert relative_error(found, exact) < BFLOAT16_ROUNDING


@pytest.mark.parametrize("tiles", [True, False])
def test_the_processor_decides_the_way(monkeypatch, tiles):
    monkeypatch.setattr(module, "has_matrix_tiles", lambda: tiles)
    called = []
    for name in ("banded_attention", "fused_attention"):
        monkeypatch.setattr(module, name, lambda *_, name=name: called.append(name))
    result(run_attention, *arguments((3, 4)))
    assert called == ["fused_attention" if tiles else "banded_attention"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("bias", [True, False])
def test_bfloat16_is_as_exact_as_its_roundings(banding, way, bias):
    q, k, v, table, grid = arguments((4, 5), bias=bias)
    exact = explicit(q, k, v, table, grid)
    found = result(way, q.bfloat16(), k.bfloat16(), v.bfloat16(), table, grid)
    assert found.dtype == torch.bfloat16
    assert 1e-4 < relative_error(found, exact) < BFLOAT16_ROUNDING


@pytest.mark.parametrize("way", WAYS)
def test_large_scores_neither_overflow_nor_vanish(way):
    q, k, v, table, grid = arguments((3, 3))
    found = result(way, q * 300, k, v, table, grid)
    exact = explicit(q * 300, k, v, table, grid)
    assert torch.isfinite(found).all()
    assert relative_error(found, exact) < 1e-4  # the scores' own rounding, 2 ** -24 of 1000


@pytest.mark.parametrize("way", WAYS)
def test_scratch_may_hold_anything(low_bands, way):
    given = arguments((4, 3))
    scratch = Scratch()
    for name in ("bias", "spread"):
        scratch.take(name, 40, 40, 40).fill_(float("nan"))
    assert torch.equal(result(way, *given, scratch), result(way, *given))


@pytest.mark.parametrize("grid", GRIDS)
def test_a_heads_bias_is_the_tables(grid):
    height, width = grid
    table = noise(table_length(grid))
    strips = torch.full((width, 2 * height - 1, width), float("nan"))
    bias = HeadBias.of_table(table, grid, strips)
    tokens = 1 + height * width
    expected = table[relative_position_index(grid)].flip(-1)
    found = torch.zeros(tokens, tokens)
    bias.add_to_class(found[:1])
    for row in range(height):
        start = 1 + row * width
        bias.add_to(found[start : start + width], row)
    assert torch.equal(found, expected)
    found = torch.zeros(tokens - 1, tokens)
    bias.add_to(found, 0)
    assert torch.equal(found, expected[1:])
    found = torch.full((tokens, tokens), float("nan"))
    bias.write_to(found)
    assert torch.equal(found, expected)


def block_attention(grid):
    return randomise(
        Attention(
            embed_dim=8,
            num_heads=2,
            qkv_bias=True,
            qk_scale=None,
            table_grid=grid,
            attn_drop=0.0,
            proj_drop=0.0,
        )
    )


@pytest.mark.parametrize("window", [(3, 4), (2, 3), (1, 1), (5, 4), (3, 6), (7, 2)])
def test_the_windows_table_gives_the_blocks_bias(window):
    attention = block_attention((3, 4))
    index = relative_position_index(window)
    with torch.no_grad():
        table = window_table(attention, window)
        expected = attention.position_bias(window, index)[0]
    assert table.shape == (2, table_length(window))
    assert table.is_contiguous()
    assert torch.equal(table[:, index], expected)


def test_a_block_without_a_table_has_no_bias():
    assert window_table(block_attention(None), (3, 4)) is None
