import pytest
import torch

from modelscope_vitadapter.network.cpu import convolution
from modelscope_vitadapter.network.cpu.bands import Scratch
from modelscope_vitadapter.network.cpu.convolution import convolve_gathered, convolve_in_place
from modelscope_vitadapter.network.cpu.winograd import convolve_by_winograd
from tests.network.cpu.test_winograd import SHAPES, convolved
from tests.support.networks import random_image as noise
from tests.support.networks import relative_error

ROUNDING = 2e-6
# Inputs, weights and results are rounded to 8 bits.
BFLOAT16_ROUNDING = 1e-2


def gathered(tokens, shape, weight, dtype=torch.float32):
    found = tokens.clone()
    convolve_gathered(found, shape, weight, dtype, Scratch())
    return found


@pytest.mark.parametrize("shape", [*SHAPES, (1, 1), (5, 3), (1, 7), (7, 1)])
@pytest.mark.parametrize("channels", [1, 3, 16])
def test_equals_a_convolution(banding, packing, channels, shape):
    tokens = noise(shape[0] * shape[1], channels)
    weight = noise(channels, channels, 3, 3, seed=1)
    found = gathered(tokens, shape, weight)
    assert relative_error(found, convolved(tokens, shape, weight)) < ROUNDING


@pytest.mark.parametrize("rows", [1, 8, 9, 16, 24, 1000])
def test_any_number_of_rows_in_a_band(monkeypatch, rows):
    monkeypatch.setattr(convolution, "GATHERED_ROWS", rows)
    tokens, weight = noise(28 * 8, 4), noise(4, 4, 3, 3, seed=1)
    found = gathered(tokens, (28, 8), weight)
    assert relative_error(found, convolved(tokens, (28, 8), weight)) < ROUNDING


@pytest.mark.parametrize("tap", range(9))
def test_each_tap_of_a_filter_shifts(low_bands, tap):
    weight = torch.zeros(1, 1, 9)
    weight[..., tap] = 1
    tokens = torch.arange(16 * 8, dtype=torch.float32)[:, None]
    found = gathered(tokens, (16, 8), weight.view(1, 1, 3, 3))
    assert torch.equal(found.double(), convolved(tokens, (16, 8), weight.view(1, 1, 3, 3)))


def test_bfloat16_is_as_exact_as_its_roundings():
    tokens, weight = noise(16 * 16, 256), noise(256, 256, 3, 3, seed=1) / 48
    found = gathered(tokens, (16, 16), weight, torch.bfloat16)
    assert found.dtype == torch.float32
    assert 1e-4 < relative_error(found, convolved(tokens, (16, 16), weight)) < BFLOAT16_ROUNDING


def test_scratch_may_hold_anything(low_bands):
    tokens, weight = noise(16 * 12, 3), noise(3, 3, 3, 3, seed=1)
    scratch = Scratch()
    for name in ("padded", "taps"):
        scratch.take(name, 20, 20, 3, 9).fill_(float("nan"))
    found = tokens.clone()
    convolve_gathered(found, (16, 12), weight, torch.float32, scratch)
    assert torch.equal(found, gathered(tokens, (16, 12), weight))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tiles", [True, False])
def test_all_products_are_made_only_where_they_are_cheap(monkeypatch, dtype, tiles):
    monkeypatch.setattr(convolution, "has_matrix_tiles", lambda: tiles)
    tokens, weight = noise(16 * 12, 3), noise(3, 3, 3, 3, seed=1)
    found, expected = tokens.clone(), tokens.clone()
    convolve_in_place(found, (16, 12), weight, dtype, Scratch())
    if tiles and dtype is torch.bfloat16:
        convolve_gathered(expected, (16, 12), weight, dtype, Scratch())
    else:
        convolve_by_winograd(expected, (16, 12), weight, Scratch())
    assert torch.equal(found, expected)
