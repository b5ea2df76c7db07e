import pytest
import torch

from modelscope_vitadapter.network.cpu.bands import Scratch
from modelscope_vitadapter.network.cpu.interaction import run_extractor, run_injector
from modelscope_vitadapter.network.deformable_attention import MultiScaleDeformableAttention
from modelscope_vitadapter.network.interaction import ConvFFN, Extractor, Geometry, Injector
from tests.support.networks import random_image as noise
from tests.support.networks import randomise, relative_error

WIDTH = 8

# Deformable attention's places, see test_deformable.py, and products in another order.
ROUNDING = 1e-5
BFLOAT16_ROUNDING = 2e-2

WINDOWS = [(32, 32), (32, 96), (64, 32), (96, 64)]
windows = pytest.mark.parametrize("window", WINDOWS)
add_query = pytest.mark.parametrize("add_query", [True, False])
value_dims = pytest.mark.parametrize("value_dim", [4, 8, 16])


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def attention(levels, value_dim):
    return MultiScaleDeformableAttention(
        embed_dim=WIDTH,
        num_heads=2,
        num_levels=levels,
        num_points=3,
        value_dim=value_dim,
        dropout=0.1,
    )


def injector(*, add_query=True, value_dim=4):
    return randomise(
        Injector(
            attention=attention(3, value_dim),
            embed_dim=WIDTH,
            init_values=0.1,
            add_query=add_query,
            with_cp=True,
        )
    ).eval()


def extractor(*, add_query=True, value_dim=4, ffn=True):
    return randomise(
        Extractor(
            attention=attention(1, value_dim),
            embed_dim=WIDTH,
            ffn=ConvFFN(embed_dim=WIDTH, hidden_dim=5) if ffn else None,
            drop_path=0.4,
            add_query=add_query,
            with_cp=True,
        )
    ).eval()


def case(window):
    geometry = Geometry.of_window(*window, torch.device("cpu"))
    x = noise(geometry.grid[0] * geometry.grid[1], WIDTH)
    c = noise(sum(height * width for height, width in geometry.pyramid), WIDTH, seed=1)
    return x, c, geometry


def injected(module, window, dtype=torch.float32, scratch=None):
    x, c, geometry = case(window)
    kept = c.clone()
    assert run_injector(module, x, c, geometry, dtype, scratch or Scratch()) is None
    assert torch.equal(c, kept)
    return x


def extracted(module, window, dtype=torch.float32, scratch=None):
    x, c, geometry = case(window)
    kept = x.clone()
    assert run_extractor(module, c, x, geometry, dtype, scratch or Scratch()) is None
    assert torch.equal(x, kept)
    return c


def plainly_injected(module, window):
    x, c, geometry = case(window)
    return module(x[None], c[None], geometry)[0]


def plainly_extracted(module, window):
    x, c, geometry = case(window)
    return module(c[None], x[None], geometry)[0]


@windows
@add_query
@value_dims
def test_injectors_equal_the_module(banding, window, add_query, value_dim):
    module = injector(add_query=add_query, value_dim=value_dim)
    error = relative_error(injected(module, window), plainly_injected(module, window))
    assert error < ROUNDING


@windows
@add_query
@value_dims
@pytest.mark.parametrize("ffn", [True, False])
def test_extractors_equal_the_module(banding, window, add_query, value_dim, ffn):
    module = extractor(add_query=add_query, value_dim=value_dim, ffn=ffn)
    error = relative_error(extracted(module, window), plainly_extracted(module, window))
    assert error < ROUNDING


def test_without_reordered_weights(unpacked):
    into, out = injector(), extractor()
    window = (64, 32)
    assert relative_error(injected(into, window), plainly_injected(into, window)) < ROUNDING
    assert relative_error(extracted(out, window), plainly_extracted(out, window)) < ROUNDING


@pytest.mark.parametrize("ffn", [True, False])
def test_bfloat16_is_as_exact_as_its_roundings(banding, ffn):
    into, out, window = injector(), extractor(ffn=ffn), (64, 32)
    for found, expected in (
        (injected(into, window, torch.bfloat16), plainly_injected(into, window)),
        (extracted(out, window, torch.bfloat16), plainly_extracted(out, window)),
    ):
        assert found.dtype == torch.float32
        assert 1e-5 < relative_error(found, expected) < BFLOAT16_ROUNDING


def test_in_bfloat16_the_residual_stream_stays_float32():
    module, window = injector(), (64, 32)
    module.gamma.fill_(1e-3)
    found, expected = injected(module, window, torch.bfloat16), plainly_injected(module, window)
    assert relative_error(found, expected) < BFLOAT16_ROUNDING * 1e-3


def test_scratch_may_hold_what_another_window_left():
    scratch, module, other = Scratch(), extractor(), injector()
    for window in ((96, 64), (32, 32)):
        assert torch.equal(extracted(module, window, scratch=scratch), extracted(module, window))
        assert torch.equal(injected(other, window, scratch=scratch), injected(other, window))
