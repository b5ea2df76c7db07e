"""The whole network on a processor: the plain modules' answer, however it is called."""

import copy
import io
import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.checkpoint.save import save_state_dict
from modelscope_vitadapter.network.cpu.segmentor import run_windows
from tests.support.networks import random_image, relative_error, tiny_network

# The errors of all parts in 24 bits; masks of attention that they turn do not occur here.
ROUNDING = 2e-5
# The errors of all parts in 8 bits; random weights amplify some, also in the plain modules.
BFLOAT16_ROUNDING = 0.03

WINDOWS = [(32, 32), (64, 64), (64, 32), (32, 96), (128, 96)]


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture
def network():
    return tiny_network()


def plain(network, image):
    return network.decode_head(network.backbone(image))


def errors(network, image):
    return [
        relative_error(found, expected)
        for found, expected in zip(network(image), plain(network, image), strict=True)
    ]


def assert_same(found, expected):
    assert all(map(torch.equal, found, expected))


def test_equals_the_plain_modules(tiling, variant):
    assert max(errors(variant, random_image(1, 3, 64, 96))) < ROUNDING


@pytest.mark.parametrize("window", WINDOWS)
def test_equals_the_plain_modules_for_windows_of_any_size(network, window):
    assert max(errors(network, random_image(1, 3, *window))) < ROUNDING


def test_equals_the_plain_modules_in_low_bands(tiling, low_bands, variant):
    assert max(errors(variant, random_image(1, 3, 32, 64))) < ROUNDING


def test_equals_the_plain_modules_in_the_bands_of_a_large_window(tiling, network):
    # 1025 tokens in the backbone, 5376 in the pixel decoder: several bands of every kind
    assert max(errors(network, random_image(1, 3, 512, 512))) < ROUNDING


def test_equals_the_plain_modules_without_reordered_weights(unpacked, network):
    assert max(errors(network, random_image(1, 3, 64, 96))) < ROUNDING


def test_bfloat16_is_as_exact_as_the_plain_modules_in_bfloat16(tiling, variant):
    image = random_image(1, 3, 64, 64)
    expected = plain(variant, image)
    with autocast(torch.bfloat16):
        found, plainly = variant(image), plain(variant, image)
    for a, b, exact in zip(found, plainly, expected, strict=True):
        assert a.dtype == torch.float32
        error = relative_error(a, exact)
        assert 1e-4 < error < 1.5 * relative_error(b, exact) + BFLOAT16_ROUNDING


def autocast(dtype):
    return torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(64, 64), (33, 90)])
def test_a_windows_answer_does_not_depend_on_the_batch(network, size, dtype):
    images = random_image(3, 3, *size)
    with autocast(dtype):
        together = network(images)
        for i in range(3):
            assert_same([part[i : i + 1] for part in together], network(images[i : i + 1]))


def test_the_number_of_threads_changes_no_decision(network):
    image, threads = random_image(2, 3, 64, 96), torch.get_num_threads()
    decisions = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            class_logits, mask_logits = network(image)
            decisions.append((class_logits.argmax(-1), mask_logits.argmax(1)))
    finally:
        torch.set_num_threads(threads)
    assert_same(*decisions)
    assert len(decisions[0][1].unique()) > 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_threads_may_call_one_network_at_once(network, dtype):
    images = [random_image(1, 3, *window, seed=i) for i, window in enumerate(WINDOWS * 3)]

    def answer(image):
        with torch.no_grad(), autocast(dtype):  # both belong to a thread
            return network(image)

    alone = list(map(answer, images))
    with ThreadPoolExecutor(3) as pool:
        for found, expected in zip(pool.map(answer, images), alone, strict=True):
            assert_same(found, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_default_dtype_and_device_do_not_matter(tiling, network, dtype):
    image = random_image(1, 3, 64, 96)
    with autocast(dtype):
        expected = network(image)
    torch.set_default_dtype(torch.float64)
    try:
        with autocast(dtype):
            found = network(image)
    finally:
        torch.set_default_dtype(torch.float32)
    assert_same(found, expected)
    with torch.device("meta"), autocast(dtype):
        found = network(image)
    assert_same(found, expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_images_that_are_no_numbers_spoil_no_other_window(network, value):
    images = random_image(3, 3, 64, 64)
    expected = network(images)
    images[1, 0, 20, 30] = value
    found = network(images)
    assert not torch.isfinite(found[1][1]).all() or value == 1e30
    for i in (0, 2):
        assert_same([part[i] for part in found], [part[i] for part in expected])


def test_the_image_stays_as_it_is(network):
    image = random_image(2, 3, 64, 64)
    before = image.clone()
    network(image)
    assert torch.equal(image, before)


# After a pass the network is what it was, for whoever asks.


@pytest.fixture
def used(network):
    """A network that has computed, and its state before."""
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network(random_image(2, 3, 64, 64))
    with autocast(torch.bfloat16):
        network(random_image(1, 3, 64, 32))
    return network, before


def assert_same_state(state, expected):
    assert list(state) == list(expected)
    assert_same(state.values(), expected.values())


def test_the_state_is_untouched(used):
    network, before = used
    assert_same_state(network.state_dict(), before)
    assert all(type(p) is torch.nn.Parameter for p in network.parameters())
    assert all(p.layout == torch.strided and p.is_leaf for p in network.parameters())
    assert all(p.grad is None and p.requires_grad for p in network.parameters())


def other_network():
    network = tiny_network()
    for parameter in network.parameters():
        parameter.zero_()
    return network


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.pt"])
def test_saved_and_loaded_it_computes_the_same(network, tmp_path, name):
    image = random_image(1, 3, 64, 64)
    expected = network(image)
    save_state_dict(network.state_dict(), tmp_path / name)
    loaded = other_network()
    load_into(loaded, tmp_path / name)
    assert_same_state(loaded.state_dict(), network.state_dict())
    assert_same(loaded(image), expected)


def pickled(network):
    return pickle.loads(pickle.dumps(network))


def saved_whole(network):
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, pickled, saved_whole])
def test_copies_compute_the_same(network, copied):
    image = random_image(1, 3, 64, 64)
    expected = network(image)
    other = copied(network)
    assert_same_state(other.state_dict(), network.state_dict())
    assert_same(other(image), expected)
    assert_same(network(image), expected)


def test_a_copy_is_on_its_own(network):
    image = random_image(1, 3, 64, 64)
    expected = network(image)
    other = copy.deepcopy(network)
    for parameter in other.parameters():
        parameter.mul_(1.5)
    assert not torch.equal(other(image)[0], expected[0])
    assert_same(network(image), expected)


def test_changed_weights_change_the_next_pass(network):
    image = random_image(1, 3, 64, 64)
    network(image)
    for parameter in network.parameters():
        parameter.mul_(1.05).add_(0.01)
    assert max(errors(network, image)) < ROUNDING
    network.backbone.norm1.running_mean.add_(1)
    assert max(errors(network, image)) < ROUNDING


def test_a_spawned_process_computes_the_same(network):
    image = random_image(1, 3, 64, 64)
    expected = network(image)
    context = multiprocessing.get_context("spawn")
    # gradients are off in the child too, so that it takes the same path
    with context.Pool(1, initializer=torch.set_grad_enabled, initargs=(False,)) as pool:
        found = [part.clone() for part in pool.apply(network, (image,))]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_training_goes_on_after_a_pass(network):
    untouched = tiny_network()
    image = random_image(2, 3, 64, 64)
    network(image)
    gradients = []
    for one in (network, untouched):
        one.train()
        torch.manual_seed(0)
        with torch.enable_grad():
            class_logits, mask_logits = one(image)
            (class_logits.square().mean() + mask_logits.square().mean()).backward()
        gradients.append({name: p.grad for name, p in one.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient is not None, name
        assert torch.equal(gradient, gradients[1][name]), name
    assert sum(bool(gradient.any()) for gradient in gradients[0].values()) == len(gradients[0])


def test_a_step_of_training_is_seen_by_the_next_pass(network):
    image = random_image(1, 3, 64, 64)
    before = network(image)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    with torch.enable_grad():
        network(image)[0].square().mean().backward()
    optimizer.step()
    assert not torch.equal(network(image)[0], before[0])
    assert max(errors(network, image)) < ROUNDING


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_it_changes_its_type_as_any_module(used, dtype):
    network, before = used
    expected = {
        name: value.to(dtype) if value.is_floating_point() else value
        for name, value in before.items()
    }
    assert_same_state(copy.deepcopy(network).to(dtype).state_dict(), expected)


def test_no_pass_touches_the_state(variant):
    before = {name: value.clone() for name, value in variant.state_dict().items()}
    variant(random_image(1, 3, 32, 64))
    assert_same_state(variant.state_dict(), before)


def test_the_path_can_be_called_by_itself(network):
    image = random_image(2, 3, 64, 64)
    found = run_windows(network.backbone, network.decode_head, image, torch.float32)
    assert_same(found, network(image))
