import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from modelscope_vitadapter.network.cpu.bands import Scratch, bands
from modelscope_vitadapter.network.cpu.deformable import Sampler, ValueTable
from modelscope_vitadapter.network.cpu.linear import PackedLinear
from modelscope_vitadapter.network.deformable_attention import (
    MultiScaleDeformableAttention,
    reference_points,
)
from tests.support.networks import random_image as noise
from tests.support.networks import randomise, relative_error

# Both compute places in 24 bits, by other formulas: some units of 2 ** -24 of a map's size, times
# the difference of neighbouring values.
ROUNDING = 2e-5
# Values, result and two weights are rounded to 8 bits.
BFLOAT16_ROUNDING = 2e-2

LEVELS = {
    "one level": [(3, 5)],
    "one cell": [(1, 1)],
    "fine to coarse": [(8, 6), (4, 3), (2, 2)],
    "coarse to fine": [(2, 2), (4, 3), (8, 6)],
    "odd shapes": [(1, 7), (5, 1), (3, 3), (1, 1)],
}
levels = pytest.mark.parametrize("shapes", LEVELS.values(), ids=LEVELS)


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def attention_over(shapes, *, heads=2, points=3, head_dim=4, value_head_dim=None, spread=1.0):
    attention = MultiScaleDeformableAttention(
        embed_dim=heads * head_dim,
        num_heads=heads,
        num_levels=len(shapes),
        num_points=points,
        value_dim=heads * (value_head_dim or head_dim),
        dropout=0.3,
    )
    randomise(attention).eval()
    attention.sampling_offsets.weight.mul_(spread)
    attention.sampling_offsets.bias.mul_(spread)
    return attention


def cells(shapes):
    return sum(height * width for height, width in shapes)


def table_of(attention, tokens, shapes, scratch=None, dtype=torch.float32, norm=None):
    table = ValueTable(shapes, attention.value_proj.out_features, scratch or Scratch())
    table.fill(tokens, PackedLinear.of(attention.value_proj, dtype=dtype), norm)
    return table


def sampled(attention, query, tokens, points, shapes, *, scratch=None, dtype=torch.float32):
    table = table_of(attention, tokens, shapes, scratch, dtype)
    sample = Sampler(attention, points[0, :, 0], table, dtype)
    return torch.cat([sample(query[band], band) for band in bands(len(query), 5)])


def plain(attention, query, tokens, points, shapes):
    return attention(query[None], tokens[None], points, shapes)[0]


def assert_equals_plain(attention, query_shapes, shapes, tolerance=ROUNDING):
    width = attention.value_proj.in_features
    query, tokens = noise(cells(query_shapes), width), noise(cells(shapes), width, seed=1)
    points = reference_points(query_shapes, device="cpu")
    expected = plain(attention, query, tokens, points, shapes)
    found = sampled(attention, query, tokens, points, shapes)
    assert relative_error(found, expected) < tolerance


@levels
@pytest.mark.parametrize("spread", [0.0, 1.0, 5.0, 1e4])
def test_equals_the_module(banding, packing, shapes, spread):
    assert_equals_plain(attention_over(shapes, spread=spread), [(4, 3), (2, 1)], shapes)


@pytest.mark.parametrize(
    ("heads", "head_dim", "value_head_dim"), [(1, 1, 1), (3, 4, 2), (4, 2, 1), (2, 8, 16)]
)
@pytest.mark.parametrize("points", [1, 4])
def test_heads_and_values_of_any_width(heads, head_dim, value_head_dim, points):
    shapes = [(4, 5), (2, 3)]
    attention = attention_over(
        shapes, heads=heads, points=points, head_dim=head_dim, value_head_dim=value_head_dim
    )
    assert_equals_plain(attention, [(3, 3)], shapes)


sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(
    st.lists(sizes, min_size=1, max_size=4),
    st.lists(sizes, min_size=1, max_size=2),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from([0.3, 2.0, 20.0]),
)
def test_equals_the_module_for_any_maps(shapes, query_shapes, heads, points, spread):
    with torch.no_grad():
        attention = attention_over(shapes, heads=heads, points=points, spread=spread)
        assert_equals_plain(attention, query_shapes, shapes, 1e-4)


def attention_at(shapes, offsets, *, heads=1, channels=2):
    """Attention whose every query looks at given `(x, y)` cells from its point, on all levels.

    Projections are identities, so that it returns the mean of what it sees.
    """
    attention = MultiScaleDeformableAttention(
        embed_dim=channels, num_heads=heads, num_levels=len(shapes), num_points=len(offsets)
    ).eval()
    for parameter in attention.parameters():
        parameter.zero_()
    places = torch.tensor(offsets, dtype=torch.float32)
    attention.sampling_offsets.bias.copy_(places.expand(heads, len(shapes), -1, 2).flatten())
    for projection in (attention.value_proj, attention.output_proj):
        nn.init.eye_(projection.weight)
    return attention


WHOLE_STEPS = [-4, -3, -2, -1, 0, 1, 2, 3, 4]


@pytest.mark.parametrize("x", WHOLE_STEPS)
@pytest.mark.parametrize("y", WHOLE_STEPS)
def test_whole_steps_read_single_cells(x, y):
    height, width = shape = (3, 4)
    tokens = noise(12, 2)
    points = reference_points([shape], device="cpu")
    found = sampled(attention_at([shape], [(x, y)]), tokens, tokens, points, [shape])
    for i in range(height):
        for j in range(width):
            inside = 0 <= i + y < height and 0 <= j + x < width
            expected = tokens[(i + y) * width + j + x] if inside else torch.zeros(2)
            torch.testing.assert_close(found[i * width + j], expected, rtol=1e-5, atol=2e-6)


@given(
    st.lists(
        st.tuples(
            st.floats(-6, 6, width=32) | st.sampled_from([-0.5, 0.5, -1.5, 3.5, 1e-7, -1e-7]),
            st.floats(-6, 6, width=32) | st.sampled_from([-0.5, 0.5, -1.5, 2.5, 1e-7, -1e-7]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_equals_the_module_around_borders_and_corners(offsets):
    shapes = [(3, 4), (1, 2)]
    with torch.no_grad():
        attention = attention_at(shapes, offsets)
        tokens, query = noise(14, 2), torch.zeros(6, 2)
        points = reference_points([(2, 3)], device="cpu")
        found = sampled(attention, query, tokens, points, shapes)
        expected = plain(attention, query, tokens, points, shapes)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


FAR = [7.0, 1e3, 1e9, 1e20, 3e38, math.inf]


def dirty_scratch():
    """Memory that would show where it is read without being written."""
    scratch = Scratch()
    scratch.take("table", 100_000).fill_(float("nan"))
    return scratch


@levels
@pytest.mark.parametrize("far", FAR)
def test_far_outside_is_zero(shapes, far):
    tokens, query = noise(cells(shapes), 2), torch.zeros(6, 2)
    points = reference_points([(2, 3)], device="cpu")
    places = [(x * far, y * far) for x in (-1, 1) for y in (-1, 1)]
    places += [(0, far), (0, -far), (far, 0), (-far, 0)]
    attention = attention_at(shapes, places)
    attention.value_proj.bias.fill_(100)
    found = sampled(attention, query, tokens, points, shapes, scratch=dirty_scratch())
    if far == 7.0:
        expected = plain(attention, query, tokens, points, shapes)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    else:
        assert torch.equal(found, torch.zeros(6, 2))


@levels
@pytest.mark.parametrize("place", [(math.nan, 0), (0, math.nan), (math.nan, math.inf)])
def test_nowhere_is_no_number_and_stays_in_its_head(shapes, place):
    attention = attention_at(shapes, [(0, 0), (0.3, 0.2)], heads=2, channels=4)
    tokens, query = noise(cells(shapes), 4), torch.zeros(6, 4)
    points = reference_points([(2, 3)], device="cpu")
    whole = sampled(attention, query, tokens, points, shapes)
    bias = attention.sampling_offsets.bias.view(2, len(shapes), 2, 2)
    bias[1, 0, 0] = torch.tensor(place)
    # the projection behind would spread it to all channels: read what it is given
    given = []
    attention.output_proj = nn.Linear(4, 4)
    table = table_of(attention, tokens, shapes, dirty_scratch())
    sample = Sampler(attention, points[0, :, 0], table, torch.float32)
    sample._output = lambda x: given.append(x) or x
    found = sample(query, slice(0, 6))
    assert len(given) == 1
    assert torch.equal(found[:, :2], whole[:, :2])
    assert torch.isnan(found[:, 2:]).all()


def test_queries_without_numbers_give_none_and_leave_the_others():
    shapes = [(4, 3), (2, 2)]
    attention = attention_over(shapes)
    query, tokens = noise(12, 8), noise(16, 8, seed=1)
    points = reference_points([(3, 4)], device="cpu")
    whole = sampled(attention, query, tokens, points, shapes)
    query[3], query[7, 0] = math.nan, math.inf
    found = sampled(attention, query, tokens, points, shapes, scratch=dirty_scratch())
    broken = torch.zeros(12, dtype=torch.bool)
    broken[[3, 7]] = True
    assert torch.isnan(found[broken]).all()
    assert torch.equal(found[~broken], whole[~broken])


@levels
def test_a_smaller_table_does_not_see_what_a_larger_one_left(shapes):
    scratch = Scratch()
    large = [(9, 9), (8, 8), (7, 7), (6, 6)][: len(shapes)]
    attention = attention_over(shapes, spread=3.0)
    table_of(attention, noise(cells(large), 8), large, scratch)
    query, tokens = noise(6, 8), noise(cells(shapes), 8, seed=1)
    points = reference_points([(2, 3)], device="cpu")
    found = sampled(attention, query, tokens, points, shapes, scratch=scratch)
    assert torch.equal(found, sampled(attention, query, tokens, points, shapes))


@levels
def test_a_table_holds_the_maps_and_zeros_around_them(banding, shapes):
    attention = attention_over(shapes)
    tokens = noise(cells(shapes), 8)
    norm = randomise(nn.LayerNorm(8))
    table = table_of(attention, tokens, shapes, dirty_scratch(), norm=norm)
    values = attention.value_proj(norm(tokens))
    total, first = 0, 0
    for (height, width), start in zip(shapes, table.starts, strict=True):
        rows = table.cells[start : start + (height + 2) * table.stride]
        inner = rows.view(height + 2, table.stride, 8)[1:-1, 1 : width + 1].flatten(0, 1)
        torch.testing.assert_close(inner, values[first : first + height * width])
        total += int((inner != 0).sum())
        first += height * width
    assert int((table.cells != 0).sum()) == total


def test_bfloat16_is_as_exact_as_its_roundings():
    shapes = [(8, 6), (4, 3)]
    attention = attention_over(shapes)
    query, tokens = noise(12, 8), noise(cells(shapes), 8, seed=1)
    points = reference_points([(3, 4)], device="cpu")
    found = sampled(attention, query, tokens, points, shapes, dtype=torch.bfloat16)
    error = relative_error(found, plain(attention, query, tokens, points, shapes))
    assert 1e-4 < error < BFLOAT16_ROUNDING


def test_in_bfloat16_places_stay_exact():
    # a hundred cells away bfloat16 is half a cell off, which on noise is an error of its size
    shapes = [(3, 400)]
    attention = attention_over(shapes, spread=100.0)
    attention.sampling_offsets.weight[1::2] = 0
    attention.sampling_offsets.bias[1::2] = 0
    query, tokens = noise(30, 8), noise(cells(shapes), 8, seed=1)
    points = reference_points([(3, 10)], device="cpu")
    found = sampled(attention, query, tokens, points, shapes, dtype=torch.bfloat16)
    expected = plain(attention, query, tokens, points, shapes)
    assert relative_error(found, expected) < BFLOAT16_ROUNDING


def test_the_module_stays_as_it_is():
    shapes = [(4, 3)]
    attention = attention_over(shapes)
    before = {name: value.clone() for name, value in attention.state_dict().items()}
    points = reference_points([(2, 3)], device="cpu")
    sampled(attention, noise(6, 8), noise(12, 8), points, shapes)
    kept = points.clone()
    assert all(torch.equal(value, before[name]) for name, value in attention.state_dict().items())
    assert torch.equal(points, kept)
