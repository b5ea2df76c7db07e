import pytest
import torch
from torch import nn

from modelscope_vitadapter.network.cpu.map_norm import GroupStatistics, normalise
from tests.support.networks import random_image as noise
from tests.support.networks import randomise, relative_error

CHANNELS = 8

# Sums of up to a thousand values in another order, in 24 bits.
ROUNDING = 2e-6

NORMS = {
    "GN": lambda: nn.GroupNorm(4, CHANNELS),
    "GN of one group": lambda: nn.GroupNorm(1, CHANNELS, eps=1e-2),
    "GN of single channels": lambda: nn.GroupNorm(CHANNELS, CHANNELS),
    "GN without affine": lambda: nn.GroupNorm(2, CHANNELS, affine=False),
    "BN": lambda: nn.BatchNorm2d(CHANNELS, eps=1e-3),
    "BN of its input": lambda: nn.BatchNorm2d(CHANNELS, track_running_stats=False),
    "IN": lambda: nn.InstanceNorm2d(CHANNELS, affine=True),
    "IN with statistics": lambda: nn.InstanceNorm2d(CHANNELS, track_running_stats=True),
}
SHAPES = [(1, 2), (3, 1), (4, 7), (32, 30)]


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def normed(norm, tokens, shape):
    """The module's own answer, in double precision."""
    maps = tokens.double().view(1, *shape, CHANNELS).permute(0, 3, 1, 2)
    return norm.double()(maps).permute(0, 2, 3, 1).reshape(-1, CHANNELS)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("make", NORMS.values(), ids=NORMS)
def test_equals_the_module(banding, make, shape):
    norm = randomise(make()).eval()
    tokens = noise(shape[0] * shape[1], CHANNELS) * 3 + 1
    found = tokens.clone()
    normalise(found, shape, norm)
    assert relative_error(found, normed(norm, tokens, shape)) < ROUNDING


def test_no_norm_changes_nothing():
    tokens = noise(12, CHANNELS)
    found = tokens.clone()
    normalise(found, (3, 4), None)
    assert torch.equal(found, tokens)


def test_a_single_cell(banding):
    norm = randomise(nn.GroupNorm(2, CHANNELS))
    tokens = noise(1, CHANNELS)
    found = tokens.clone()
    normalise(found, (1, 1), norm)
    assert relative_error(found, normed(norm, tokens, (1, 1))) < ROUNDING


@pytest.mark.parametrize("mean", [0.0, 30.0, 1000.0])
def test_group_statistics_survive_a_mean_far_from_zero(low_bands, mean):
    norm = nn.GroupNorm(2, CHANNELS)
    tokens = noise(200, CHANNELS) + mean
    found = tokens.clone()
    normalise(found, (10, 20), norm)
    # what the input's own rounding leaves: units of 2 ** -24 of its mean
    assert relative_error(found, normed(norm, tokens, (10, 20))) < ROUNDING + mean * 2**-23


def test_groups_whose_channels_differ():
    norm = nn.GroupNorm(2, CHANNELS)
    tokens = noise(50, CHANNELS) + torch.arange(CHANNELS) * 10
    found = tokens.clone()
    normalise(found, (5, 10), norm)
    assert relative_error(found, normed(norm, tokens, (5, 10))) < 1e-5


def test_bands_of_any_heights_give_the_statistics_of_the_whole():
    tokens, norm = noise(100, CHANNELS), randomise(nn.GroupNorm(4, CHANNELS))
    whole, parts = GroupStatistics(norm), GroupStatistics(norm)
    whole.add(tokens)
    for part in tokens.split([1, 60, 2, 37]):
        parts.add(part)
    for found, expected in zip(parts.affine(), whole.affine(), strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_constant_maps_become_the_shift():
    norm = randomise(nn.GroupNorm(4, CHANNELS))
    tokens = torch.full((30, CHANNELS), 2.5)
    normalise(tokens, (5, 6), norm)
    # the scale is eps ** -0.5 = 316, so the mean's last bit of 24 becomes 4e-5
    torch.testing.assert_close(tokens, norm.bias.expand(30, -1), rtol=0, atol=1e-4)
