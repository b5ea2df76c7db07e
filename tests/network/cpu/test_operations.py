"""Operations of the processor's path: each equals what PyTorch or the paper computes."""

import ctypes
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from benchmarks.builtin_way import relative_position_index
from modelscope_vitadapter.network.cpu import bands, convolution, linear
from modelscope_vitadapter.network.cpu.attention import run_attention
from modelscope_vitadapter.network.cpu.bands import band_rows, return_freed_memory
from modelscope_vitadapter.network.cpu.convolution import (
    convolve_by_winograd,
    convolve_gathered,
    convolve_in_place,
)
from modelscope_vitadapter.network.cpu.deformable import Sampler, ValueTable
from modelscope_vitadapter.network.cpu.linear import ACTIVATIONS, PackedLinear, can_pack
from modelscope_vitadapter.network.cpu.maps import (
    as_map,
    as_tokens,
    normalise,
    resize_band,
    resize_tokens,
)
from modelscope_vitadapter.network.deformable_attention import (
    MultiScaleDeformableAttention,
    reference_points,
)
from modelscope_vitadapter.network.position_bias import table_length
from tests.support.networks import random_image as noise
from tests.support.networks import randomise, relative_error

# The same sums in another order: some units of the last of 24 bits, or of bfloat16's 8.
ROUNDING = 4e-6
BFLOAT16_ROUNDING = 2e-2
CLOSE = {"rtol": 1e-5, "atol": 1e-5}

shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])


def assert_equals(found, exact, dtype=torch.float32):
    assert relative_error(found, exact) < (
        ROUNDING if dtype is torch.float32 else BFLOAT16_ROUNDING
    )


@given(st.integers(0, 500), st.integers(1, 60))
def test_bands_cover_all_rows_and_are_as_few_and_as_equal_as_can_be(rows, height):
    found = list(bands.bands(rows, height))
    assert [i for band in found for i in range(rows)[band]] == list(range(rows))
    heights = [band.stop - band.start for band in found]
    assert len(heights) == max(1, -(-rows // height))
    assert max(heights) - min(heights) <= 1


def test_only_bfloat16_with_matrix_tiles_has_higher_bands(monkeypatch):
    monkeypatch.setattr(bands, "has_matrix_tiles", lambda: True)
    assert (band_rows(torch.float32), band_rows(torch.bfloat16)) == (825, 1650)
    monkeypatch.setattr(bands, "has_matrix_tiles", lambda: False)
    assert band_rows(torch.bfloat16) == 825


def test_what_pytorch_says_of_the_processor(monkeypatch):
    ask = bands.has_matrix_tiles.__wrapped__
    for report, expected in (({"amx_tile": True}, True), ({"amx_tile": False}, False), ({}, False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda r=report: r, raising=False)
        assert ask() is expected
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    for answer in (True, False):  # as in PyTorch 2.10
        for name in ("amx_tile", "amx_fp16", "avx512_bf16"):
            function = f"_is_{name}_supported"
            monkeypatch.setattr(torch.cpu, function, lambda a=answer: a, raising=False)
        assert ask() is answer


@pytest.mark.parametrize("error", [TypeError("Windows"), OSError("none"), None])
def test_freed_memory_is_returned_where_the_library_can(monkeypatch, error):
    bands._malloc_trim.cache_clear()
    trimmed = []

    def library(name):
        if error is not None:
            raise error
        return type("Library", (), {"malloc_trim": staticmethod(trimmed.append)})

    monkeypatch.setattr(ctypes, "CDLL", library)
    return_freed_memory()
    assert trimmed == ([] if error else [0])
    bands._malloc_trim.cache_clear()


@dtypes
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    ("rows", "width", "out"), [(1, 1, 1), (1, 16, 5), (7, 3, 33), (130, 65, 17)]
)
def test_linear_layers(way, rows, width, out, activation, dtype):
    x, weight, bias = noise(width, 2 * rows).t()[::2], noise(width, out).t(), noise(out, seed=2)
    before = weight.clone()
    for b in (None, bias):
        run = PackedLinear(weight, b, dtype=dtype, activation=activation)
        found = run(x)
        assert found.dtype is dtype
        exact = F.linear(x.double(), weight.double(), None if b is None else b.double())
        activate = ACTIVATIONS[activation]
        exact = exact if activate is None else activate(exact)
        if width > 1:
            assert_equals(found, exact, dtype)
        kept = found.clone()
        run(2 * x)
        assert torch.equal(found, kept)  # memory of its own
    assert torch.equal(weight, before)


@pytest.fixture
def untried():
    """Forgets what was found out about this PyTorch, before and after."""
    can_pack.cache_clear()
    yield
    can_pack.cache_clear()


@dtypes
def test_missing_operators_are_not_used(monkeypatch, untried, dtype):
    monkeypatch.setattr(linear, "run_packed", None)  # a TypeError where it is called
    assert not can_pack(dtype)
    x, weight = noise(6, 8), noise(3, 8, seed=1)
    assert_equals(PackedLinear(weight, dtype=dtype)(x), F.linear(x, weight), dtype)


@pytest.mark.parametrize(("factor", "used"), [(1, True), (1.2, False), (math.nan, False)])
def test_operators_are_used_only_if_they_are_right(monkeypatch, untried, factor, used):
    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", lambda weight, rows: weight)
    monkeypatch.setattr(linear, "run_packed", lambda x, w, b, _: F.gelu(F.linear(x, w, b)) * factor)
    with torch.device("meta"), torch.autocast("cpu", torch.bfloat16):
        assert can_pack(torch.float32) is used


GRIDS = [(1, 1), (1, 5), (5, 1), (4, 4), (7, 5)]


@dtypes
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("heads", "head_dim"), [(1, 1), (3, 5)])
def test_attention(tiling, way, grid, heads, head_dim, dtype):
    tokens = 1 + grid[0] * grid[1]
    q, k, v = (noise(heads, tokens, head_dim, seed=i) for i in range(3))
    table = noise(table_length(grid), heads, seed=3)
    scores = q.double() @ k.double().mT + table.double().t()[:, relative_position_index(grid)]
    exact = (scores.softmax(-1) @ v.double()).transpose(0, 1).flatten(1)
    given = (q.to(dtype), k.flip(1).to(dtype), v.flip(1).to(dtype))
    assert_equals(run_attention(*given, table, grid), exact, dtype)


def sampled(module, query, tokens, points, levels, dtype=torch.float32):
    table = ValueTable(levels, module.value_proj.out_features)
    table.fill(tokens, PackedLinear.of(module.value_proj, dtype=dtype))
    sample = Sampler(module, points[0, :, 0], table, dtype)
    return torch.cat([sample(query[band], band) for band in bands.bands(len(query), 5)])


def deformable(levels, *, heads=2, points=3, head_dim=4, spread=1.0):
    module = randomise(
        MultiScaleDeformableAttention(
            embed_dim=heads * head_dim,
            num_heads=heads,
            num_levels=len(levels),
            num_points=points,
            value_dim=2 * heads,
        )
    )
    module.sampling_offsets.weight.mul_(spread)
    module.sampling_offsets.bias.mul_(spread)
    return module


def cells(levels):
    return sum(height * width for height, width in levels)


@given(
    st.lists(shapes, min_size=1, max_size=4),
    shapes,
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from([0.0, 1.0, 20.0, 1e4]),  # in cells; 1e4 leaves every map
)
def test_deformable_attention(levels, query_shape, heads, points, spread):
    with torch.no_grad():
        module = deformable(levels, heads=heads, points=points, spread=spread)
        width = module.value_proj.in_features
        query, tokens = noise(cells([query_shape]), width), noise(cells(levels), width, seed=1)
        at = reference_points([query_shape], device="cpu")
        exact = module(query[None], tokens[None], at, levels)[0]
        # places are computed in 24 bits too, by other formulas
        assert relative_error(sampled(module, query, tokens, at, levels), exact) < 1e-4


def test_deformable_attention_in_bfloat16_keeps_places_exact():
    # a hundred cells away bfloat16 is half a cell off, which on noise is an error of its size
    levels = [(3, 400)]
    module = deformable(levels, spread=100.0)
    module.sampling_offsets.weight[1::2] = 0
    module.sampling_offsets.bias[1::2] = 0
    query, tokens = noise(30, 8), noise(1200, 8, seed=1)
    points = reference_points([(3, 10)], device="cpu")
    found = sampled(module, query, tokens, points, levels, torch.bfloat16)
    assert_equals(found, module(query[None], tokens[None], points, levels)[0], torch.bfloat16)


CONVOLUTIONS = {
    "Winograd": convolve_by_winograd,
    "gathered": lambda *given: convolve_gathered(*given, torch.float32),
}


@pytest.mark.parametrize("channels", [1, 3, 16])
@pytest.mark.parametrize("shape", [(4, 4), (4, 20), (20, 4), (16, 12)])
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_convolutions(way, kind, shape, channels):
    tokens, weight = noise(shape[0] * shape[1], channels), noise(channels, channels, 3, 3, seed=1)
    exact = as_tokens(F.conv2d(as_map(tokens.double(), shape), weight.double(), padding=1))
    CONVOLUTIONS[kind](tokens, shape, weight)
    assert_equals(tokens, exact)


@pytest.mark.parametrize("mean", [0.0, 10.0])
def test_the_error_of_convolutions_at_the_models_depth_is_small(mean):
    # 256 channels; after a ReLU maps have a mean
    tokens, weight = noise(16 * 16, 256) + mean, noise(256, 256, 3, 3, seed=1) / 48
    exact = as_tokens(F.conv2d(as_map(tokens.double(), (16, 16)), weight.double(), padding=1))
    for dtype, bound in ((torch.float32, 6e-6), (torch.bfloat16, BFLOAT16_ROUNDING)):
        found = tokens.clone()
        convolve_in_place(found, (16, 16), weight, dtype)
        assert relative_error(found, exact) < bound


@dtypes
@pytest.mark.parametrize("tiles", [True, False])
def test_all_products_are_made_only_where_they_are_cheap(monkeypatch, dtype, tiles):
    monkeypatch.setattr(convolution, "has_matrix_tiles", lambda: tiles)
    made = []
    for name in ("convolve_gathered", "convolve_by_winograd"):
        monkeypatch.setattr(convolution, name, lambda *_, name=name: made.append(name))
    convolve_in_place(noise(16, 3), (4, 4), noise(3, 3, 3, 3), dtype)
    gathered = tiles and dtype is torch.bfloat16
    assert made == ["convolve_gathered" if gathered else "convolve_by_winograd"]


@given(shapes, shapes, st.integers(1, 9))
def test_resized_maps_and_bands_of_them(shape, size, height):
    tokens = noise(shape[0] * shape[1], 3)
    maps = as_map(tokens, shape).contiguous()
    expected = as_tokens(F.interpolate(maps, size, mode="bilinear", align_corners=False))
    torch.testing.assert_close(resize_tokens(tokens, shape, size), expected, **CLOSE)
    parts = [resize_band(tokens, shape, size, rows) for rows in bands.bands(size[0], height)]
    torch.testing.assert_close(torch.cat(parts), expected, **CLOSE)


@pytest.mark.parametrize("mean", [0.0, 30.0, 1000.0])
@pytest.mark.parametrize("groups", [1, 4, 8])
@pytest.mark.parametrize("shape", [(3, 4), (4, 7), (32, 30)])
def test_group_norms(way, shape, groups, mean):
    norm = randomise(nn.GroupNorm(groups, 8, eps=0.1))
    tokens = noise(shape[0] * shape[1], 8) + mean + torch.arange(8)
    exact = as_tokens(norm.double()(as_map(tokens.double(), shape)))
    normalise(tokens, norm.float())
    # what the input's own rounding leaves: units of 2 ** -24 of its mean
    assert relative_error(tokens, exact) < 1e-5 + mean * 2**-22
