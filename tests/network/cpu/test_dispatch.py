"""What the processor's path does not serve gets the plain modules' answer."""

import copy

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import parametrizations
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from modelscope_vitadapter.network import segmentor
from modelscope_vitadapter.network.cpu.dispatch import compute_dtype
from tests.support.model_tests import Plain, assert_close
from tests.support.networks import random_image, tiny_network

SHARED = tiny_network()


@pytest.fixture
def passes(monkeypatch):
    """The calls of the processor's path."""
    calls, run = [], segmentor.run_windows

    def spy(*arguments):
        calls.append(arguments)
        return run(*arguments)

    monkeypatch.setattr(segmentor, "run_windows", spy)
    return calls


@pytest.fixture
def network():
    return copy.deepcopy(SHARED)


@pytest.fixture
def image():
    return random_image(2, 3, 64, 64)


def outcome(call, *arguments):
    """Results, or what was raised."""
    torch.manual_seed(0)  # of what is dropped
    try:
        return call(*arguments)
    except Exception as error:
        return type(error), str(error)


def assert_plain(passes, network, image):
    """The answer, or the error, is that of the plain modules."""
    found, expected = outcome(network, image), outcome(Plain(network), image)
    assert passes == []
    if isinstance(expected[0], type):
        assert found == expected
    else:
        assert all(map(torch.equal, found, expected))


def drop_branches(network):
    network.backbone.blocks[0].drop_path.probability = 0.5


UNCHANGED = {
    "nothing": lambda network: None,
    "frozen": lambda network: network.requires_grad_(False),
    "channels last": lambda network: network.to(memory_format=torch.channels_last),
    "shared memory": lambda network: network.share_memory(),
    "used before": lambda network: network.train().double().float().eval(),
    "dropped branches": drop_branches,
}


@pytest.mark.parametrize("change", UNCHANGED.values(), ids=UNCHANGED)
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_plain_inference_is_served(passes, network, image, change, context):
    change(network)
    with context():
        found = network(image)
    assert len(passes) == 1
    assert_close(found, Plain(network)(image), 1e-3)


def replace(network, part, module):
    parent, _, name = part.rpartition(".")
    setattr(network.get_submodule(parent), name, module.eval())


class HalfLinear(nn.Linear):
    def forward(self, x):
        return super().forward(x) / 2


def halve_a_linear_layer(network):
    half = HalfLinear(16, 32)
    half.load_state_dict(network.backbone.blocks[0].mlp.fc1.state_dict())
    replace(network, "backbone.blocks.0.mlp.fc1", half)


def reflect_at_the_border(network):
    name = "decode_head.pixel_decoder.output_convs.0.conv"
    new = nn.Conv2d(16, 16, 3, bias=False, padding=1, padding_mode="reflect")
    new.load_state_dict(network.get_submodule(name).state_dict())
    replace(network, name, new)


def overwrite_a_forward(network):
    network.backbone.blocks[1].mlp.forward = torch.zeros_like


def parametrise(network):
    linear = network.backbone.blocks[1].mlp.fc2
    parametrizations.weight_norm(linear)
    linear.parametrizations.weight.original0.mul_(2)


def quantise(network):
    # the query, key and value weights and the attention's are read by the plain modules too
    names = {
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and not name.endswith((".qkv", ".out_proj"))
    }
    torch.ao.quantization.quantize_dynamic(network, names, dtype=torch.qint8, inplace=True)


def hook(network):
    network.backbone.blocks[1].mlp.fc1.register_forward_hook(lambda module, given, y: y * 1.1)


def hook_before(network):
    network.decode_head.mask_embed.register_forward_pre_hook(lambda module, given: given[0] * 1.1)


CHANGES = [
    *(halve_a_linear_layer, reflect_at_the_border, overwrite_a_forward, parametrise, quantise),
    *(hook, hook_before),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_changed_modules_compute_what_they_say(passes, network, image, change):
    if change is quantise and torch.backends.quantized.supported_engines == ["none"]:
        pytest.skip("this PyTorch cannot quantise")
    change(network)
    assert_plain(passes, network, image)
    assert not all(map(torch.equal, network(image), Plain(SHARED)(image)))


NOT_SERVED = {
    "training": lambda network: network.train(),
    "a part in training": lambda network: network.backbone.norm1.train(),
    "synchronised norms": lambda network: nn.SyncBatchNorm.convert_sync_batchnorm(network),
    "double weights": lambda network: network.double(),
    "bfloat16 weights": lambda network: network.bfloat16(),
    "a double part": lambda network: network.decode_head.mask_embed.double(),
    "weights elsewhere": lambda network: network.to("meta"),
}


@pytest.mark.parametrize("change", NOT_SERVED.values(), ids=NOT_SERVED)
def test_networks_in_another_state_are_not_served(passes, network, image, change):
    change(network)
    twin = copy.deepcopy(network)  # training changes statistics
    found, expected = outcome(network, image), outcome(Plain(twin), image)
    assert passes == []
    if isinstance(expected[0], type):
        assert found == expected
    else:
        assert found[0].is_meta or all(map(torch.equal, found, expected))


@pytest.mark.parametrize("make", [lambda x: x.double(), lambda x: x.bfloat16(), torch.nn.Parameter])
def test_other_images_are_not_served(passes, network, image, make):
    assert_plain(passes, network, make(image))


def test_gradients_and_float16_are_not_served(passes, network, image):
    with torch.enable_grad():
        assert network(image)[0].requires_grad
    with torch.autocast("cpu", torch.float16):
        assert compute_dtype() is torch.float16
        assert_plain(passes, network, image)


def test_hooks_of_the_network_and_of_all_modules_are_called(passes, network, image):
    seen = []
    network.register_forward_hook(lambda *_: seen.append(1))
    network(image)
    assert len(passes) == len(seen) == 1
    hook = nn.modules.module.register_module_forward_hook(lambda *_: seen.append(1))
    try:
        network(image)
    finally:
        hook.remove()
    assert len(passes) == 1
    assert len(seen) > 100


def test_a_torch_that_cannot_be_asked_is_not_served(passes, network, image, monkeypatch):
    monkeypatch.delattr("torch.nn.modules.module._has_any_global_hook")
    assert_plain(passes, network, image)


def test_the_dtype_of_products_is_the_autocasts(passes, network, image):
    network(image)
    with torch.autocast("cpu", torch.bfloat16):
        network(image)
        with torch.autocast("cpu", enabled=False):
            network(image)
    with torch.autocast("cuda", torch.bfloat16, enabled=False):
        network(image)
    used = [dtype for *_, dtype in passes]
    assert used == [torch.float32, torch.bfloat16, torch.float32, torch.float32]


class Recording(TorchDispatchMode):
    """Keeps the names of all operations."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        self.names.append(str(operator))
        return operator(*args, **(kwargs or {}))


@pytest.mark.filterwarnings("ignore")
def test_whoever_watches_operations_sees_the_plain_modules(passes, network, image):
    recordings = []
    network.requires_grad_(False)  # the counter wants graphs otherwise
    for run in (network, Plain(network)):
        with Recording() as recording, FlopCounterMode(display=False) as counter:
            run(image)
        recordings.append((recording.names, counter.get_total_flops()))
    assert recordings[0] == recordings[1]
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert network(mode.from_tensor(image))[1].shape == (2, 6, 16, 16)
    assert_close([part[:, 0] for part in torch.vmap(network)(image[:, None])], network(image), 1e-3)
    assert len(passes) == 1  # the call that was not watched
    traced = torch.jit.trace(network, image, check_trace=False)
    assert_close(traced(image), Plain(network)(image), 1e-3)
    assert len(passes) == 1


@pytest.mark.slow
def test_exported_networks_hold_the_plain_modules(passes, network, image):
    exported = torch.export.export(network, (image,))
    assert_close(exported.module()(image), Plain(network)(image), 1e-3)
    assert passes == []
    assert not any("mkldnn" in str(node.target) for node in exported.graph.nodes)
