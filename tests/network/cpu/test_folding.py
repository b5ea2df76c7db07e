import pytest
import torch
from torch import nn
from torch.nn import functional as F

from modelscope_vitadapter.network.cpu.folding import (
    batch_norm_scale,
    fold_batch_norm,
    fold_before,
)
from tests.support.networks import random_image as noise
from tests.support.networks import randomise, relative_error

# The same products in another order: some units of the last of 24 bits.
ROUNDING = 1e-6

NORMS = {
    "plain": {},
    "no affine": {"affine": False},
    "large eps": {"eps": 0.3},
    "momentum": {"momentum": None},
}
norms = pytest.mark.parametrize("options", NORMS.values(), ids=NORMS)
biases = pytest.mark.parametrize("bias", [True, False])


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@norms
def test_scale_and_shift_are_the_norm(options):
    norm = randomise(nn.BatchNorm2d(5, **options)).eval()
    scale, shift = batch_norm_scale(norm)
    x = noise(2, 5, 3, 4)
    found = x * scale[:, None, None] + shift[:, None, None]
    assert relative_error(found, norm(x)) < ROUNDING


@norms
@biases
def test_a_convolution_with_its_norm(options, bias):
    convolution = randomise(nn.Conv2d(4, 6, 3, padding=1, stride=2, bias=bias))
    norm = randomise(nn.BatchNorm2d(6, **options)).eval()
    weight, folded_bias = fold_batch_norm(convolution.weight, convolution.bias, norm)
    x = noise(2, 4, 7, 5)
    found = F.conv2d(x, weight, folded_bias, stride=2, padding=1)
    assert relative_error(found, norm(convolution(x))) < ROUNDING


@norms
@biases
def test_a_linear_map_behind_a_norm(options, bias):
    norm = randomise(nn.BatchNorm2d(5, **options)).eval()
    convolution = randomise(nn.Conv2d(5, 7, 1, bias=bias))
    weight, folded_bias = fold_before(convolution.weight.flatten(1), convolution.bias, norm)
    x = noise(1, 5, 3, 4)
    found = F.linear(x[0].flatten(1).t(), weight, folded_bias)
    assert relative_error(found, convolution(norm(x))[0].flatten(1).t()) < ROUNDING


def test_norm_and_weight_stay_as_they_are():
    norm = randomise(nn.BatchNorm2d(5)).eval()
    weight, bias = noise(5, 5, 1, 1), noise(5)
    before = [t.clone() for t in (*norm.state_dict().values(), weight, bias)]
    fold_batch_norm(weight, bias, norm)
    fold_before(weight.flatten(1), bias, norm)
    assert all(map(torch.equal, (*norm.state_dict().values(), weight, bias), before))


def test_a_norm_without_statistics_is_refused():
    with pytest.raises(ValueError, match="running statistics"):
        batch_norm_scale(nn.BatchNorm2d(5, track_running_stats=False))
