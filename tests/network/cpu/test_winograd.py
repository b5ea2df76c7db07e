import pytest
import torch
from torch.nn import functional as F

from modelscope_vitadapter.network.cpu import winograd
from modelscope_vitadapter.network.cpu.bands import Scratch
from modelscope_vitadapter.network.cpu.winograd import convolve_by_winograd, transformed_filters
from tests.support.networks import random_image as noise
from tests.support.networks import relative_error

# The transforms multiply by up to 8 and cancel again, which costs some of 24 bits.
ROUNDING = 3e-6

SHAPES = [(4, 4), (4, 20), (20, 4), (8, 12), (16, 16), (28, 20)]


def convolved(tokens, shape, weight):
    """A direct convolution in double precision."""
    maps = tokens.double().view(1, *shape, -1).permute(0, 3, 1, 2)
    maps = F.conv2d(maps, weight.double(), padding=1)
    return maps.permute(0, 2, 3, 1).reshape(-1, len(weight))


def winograd_of(tokens, shape, weight):
    found = tokens.clone()
    convolve_by_winograd(found, shape, weight, Scratch())
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [1, 3, 16])
def test_equals_a_convolution(banding, packing, channels, shape):
    tokens = noise(shape[0] * shape[1], channels)
    weight = noise(channels, channels, 3, 3, seed=1)
    found = winograd_of(tokens, shape, weight)
    assert relative_error(found, convolved(tokens, shape, weight)) < ROUNDING


@pytest.mark.parametrize("tiles", [1, 2, 3, 4, 9, 1000])
def test_any_number_of_tiles_in_a_band(monkeypatch, tiles):
    monkeypatch.setattr(winograd, "TILES", tiles)
    tokens, weight = noise(28 * 8, 4), noise(4, 4, 3, 3, seed=1)
    found = winograd_of(tokens, (28, 8), weight)
    assert relative_error(found, convolved(tokens, (28, 8), weight)) < ROUNDING


@pytest.mark.parametrize("tap", range(9))
def test_each_tap_of_a_filter_shifts(low_bands, tap):
    weight = torch.zeros(1, 1, 9)
    weight[..., tap] = 1
    weight = weight.view(1, 1, 3, 3)
    tokens = torch.arange(16 * 8, dtype=torch.float32)[:, None]
    found = winograd_of(tokens, (16, 8), weight)
    torch.testing.assert_close(
        found.double(), convolved(tokens, (16, 8), weight), rtol=0, atol=1e-3
    )


@pytest.mark.parametrize("mean", [0.0, 10.0])
def test_the_error_at_the_models_depth_is_small(mean):
    # 256 channels as in the hub's model; after a ReLU maps have a mean
    tokens = noise(16 * 16, 256) + mean
    weight = noise(256, 256, 3, 3, seed=1) / 48
    found = winograd_of(tokens, (16, 16), weight)
    exact = convolved(tokens, (16, 16), weight)
    assert relative_error(found, exact) < 2 * ROUNDING  # measured: 3.2e-6 and 1.5e-6


def test_every_outlier_stays_in_its_neighbourhood():
    # a tile reads 6 x 6 cells; what is far from an outlier must not lose its last bits to it
    tokens = noise(16 * 16, 2)
    weight = noise(2, 2, 3, 3, seed=1)
    large = tokens.clone()
    large[0] = 1e4
    away = slice(8 * 16, None)
    assert torch.equal(
        winograd_of(large, (16, 16), weight)[away], winograd_of(tokens, (16, 16), weight)[away]
    )


def test_scratch_may_hold_anything(low_bands):
    tokens, weight = noise(16 * 12, 3), noise(3, 3, 3, 3, seed=1)
    scratch = Scratch()
    scratch.take("padded", 20, 20, 3).fill_(float("nan"))
    found = tokens.clone()
    convolve_by_winograd(found, (16, 12), weight, scratch)
    assert torch.equal(found, winograd_of(tokens, (16, 12), weight))


def test_the_weight_stays_as_it_is():
    weight = noise(3, 3, 3, 3)
    before = weight.clone()
    winograd_of(noise(16, 3), (4, 4), weight)
    assert torch.equal(weight, before)


def test_a_filter_has_thirty_six_matrices(unpacked):
    weight = noise(5, 4, 3, 3)
    matrices = transformed_filters(weight)
    assert len(matrices) == 36
    one = torch.eye(4)
    # the corners of the transform are the corner taps, the first divided by 4 twice
    torch.testing.assert_close(matrices[0](one).t(), weight[:, :, 0, 0] / 16)
    torch.testing.assert_close(matrices[35](one).t(), weight[:, :, 2, 2])
