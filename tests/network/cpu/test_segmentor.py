"""A network on a processor is what it was after a pass, however it is called."""

import copy
import pickle

import pytest
import torch

from tests.support.model_tests import Plain
from tests.support.networks import random_image, relative_error, tiny_network

ROUNDING = 2e-5  # see test_parity.py

dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])


@pytest.fixture
def network():
    return tiny_network()


def autocast(dtype):
    return torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16)


def assert_same(found, expected):
    assert all(map(torch.equal, found, expected))


def assert_plain(network, image):
    for found, expected in zip(network(image), Plain(network)(image), strict=True):
        assert relative_error(found, expected) < ROUNDING


@dtypes
def test_a_windows_answer_does_not_depend_on_the_batch(network, dtype):
    images = random_image(3, 3, 33, 90)
    with autocast(dtype):
        together = network(images)
        for i in range(3):
            assert_same([part[i : i + 1] for part in together], network(images[i : i + 1]))


@dtypes
def test_no_memory_is_read_before_it_is_written(low_bands, tiling, network, dtype):
    image = random_image(2, 3, 64, 96)
    with autocast(dtype):
        expected = network(image)
    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    try:
        assert torch.empty(3).isnan().all()
        with autocast(dtype):
            found = network(image)
    finally:
        torch.use_deterministic_algorithms(False)
    assert_same(found, expected)


@dtypes
def test_default_dtype_and_device_do_not_matter(tiling, network, dtype):
    image = random_image(1, 3, 64, 96)
    with autocast(dtype):
        expected = network(image)
    torch.set_default_dtype(torch.float64)
    try:
        with autocast(dtype):
            assert_same(network(image), expected)
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.device("meta"), autocast(dtype):
        assert_same(network(image), expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_images_that_are_no_numbers_spoil_no_other_window(network, value):
    images = random_image(3, 3, 64, 64)
    expected = network(images)
    images[1, 0, 20, 30] = value
    found = network(images)
    assert not torch.isfinite(found[1][1]).all() or value == 1e30
    for i in (0, 2):
        assert_same([part[i] for part in found], [part[i] for part in expected])


def test_the_state_is_untouched(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    image = random_image(2, 3, 64, 64)
    given = image.clone()
    network(image)
    with autocast(torch.bfloat16):
        network(image)
    assert torch.equal(image, given)
    assert list(network.state_dict()) == list(before)
    assert_same(network.state_dict().values(), before.values())
    assert all(type(p) is torch.nn.Parameter and p.requires_grad for p in network.parameters())
    assert network.double().decode_head.cls_embed.weight.dtype is torch.float64


def pickled(network):
    return pickle.loads(pickle.dumps(network))


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, pickled])
def test_copies_compute_the_same(network, copied):
    image = random_image(1, 3, 64, 64)
    expected = network(image)
    other = copied(network)
    assert_same(other.state_dict().values(), network.state_dict().values())
    assert_same(other(image), expected)
    if copied is copy.deepcopy:
        for parameter in other.parameters():
            parameter.mul_(1.5)
        assert not torch.equal(other(image)[0], expected[0])
        assert_same(network(image), expected)


def test_changed_weights_and_training_steps_change_the_next_pass(network):
    image = random_image(1, 3, 64, 64)
    before = network(image)
    for parameter in network.parameters():
        parameter.mul_(1.05).add_(0.01)
    network.backbone.norm1.running_mean.add_(1)
    assert_plain(network, image)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    with torch.enable_grad():
        network.train()(image)[0].square().mean().backward()
    optimizer.step()
    assert_plain(network.eval(), image)
    assert not torch.equal(network(image)[0], before[0])
