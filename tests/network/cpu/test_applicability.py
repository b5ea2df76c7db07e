"""What the processor's path does not serve gets the plain modules' answer."""

import copy

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import parametrizations, prune
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from modelscope_vitadapter.network import segmentor
from modelscope_vitadapter.network.cpu.applicability import compute_dtype
from modelscope_vitadapter.network.transformer_layer import TransformerLayer
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


def plain(network, image):
    torch.manual_seed(0)  # of dropout
    return network.decode_head(network.backbone(image))


def assert_close(found, expected):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def outcome(call, *arguments):
    """Results, or what was raised."""
    try:
        return call(*arguments)
    except Exception as error:
        return type(error), str(error)


def assert_plain(passes, network, image):
    """The answer, or the error, is that of the plain modules."""
    found, expected = outcome(network, image), outcome(plain, network, image)
    assert passes == []
    if isinstance(expected[0], type):
        assert found == expected
    else:
        assert all(map(torch.equal, found, expected))


def test_plain_inference_is_served(passes, network, image):
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            network(image)
    assert len(passes) == 2


@torch.no_grad()
def test_variants_are_served(passes, variant):
    variant(random_image(1, 3, 32, 64))
    assert len(passes) == 1


@torch.no_grad()
def test_other_architectures_are_not(passes, other_variant):
    assert_plain(passes, other_variant, random_image(1, 3, 64, 64))


@pytest.mark.parametrize(
    "change",
    [
        lambda network: network.requires_grad_(False),
        lambda network: network.to(memory_format=torch.channels_last),
        lambda network: network.share_memory(),
        lambda network: network.train().eval(),
        lambda network: network.double().float(),
        lambda network: setattr(network.decode_head.cls_embed, "note", "kept"),
    ],
)
@torch.no_grad()
def test_what_changes_no_operation_is_served(passes, network, image, change):
    change(network)
    network(image)
    assert len(passes) == 1


@pytest.mark.parametrize(
    "layout", ["expanded", "turned", "every other", "channels last", "inference"]
)
@torch.no_grad()
def test_images_of_any_layout_are_served(passes, network, layout):
    if layout == "inference":
        with torch.inference_mode():
            image = random_image(1, 3, 64, 64)
    else:
        image = {
            "expanded": random_image(1, 3, 64, 64).expand(2, -1, -1, -1),
            "turned": random_image(1, 3, 64, 64).transpose(2, 3),
            "every other": random_image(1, 3, 128, 128)[..., ::2, ::2],
            "channels last": random_image(1, 3, 64, 64).to(memory_format=torch.channels_last),
        }[layout]
    found = network(image)
    assert len(passes) == 1
    assert_close(found, plain(network, image))


def test_gradients_are_not_served(passes, network, image):
    class_logits, _ = network(image)
    assert class_logits.requires_grad
    assert passes == []


@torch.no_grad()
def test_training_is_not_served(passes, network, image):
    trained = copy.deepcopy(network).train()
    torch.manual_seed(0)
    found, expected = network.train()(image), plain(trained, image)
    assert passes == []
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("part", ["backbone", "decode_head", "backbone.norm1", "backbone.blocks.2"])
@torch.no_grad()
def test_training_of_a_part_is_not_served(passes, network, image, part):
    trained = copy.deepcopy(network)
    for one in (network, trained):
        one.get_submodule(part).train()
    torch.manual_seed(0)
    found, expected = network(image), plain(trained, image)
    assert passes == []
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("kind", ["register_forward_hook", "register_forward_pre_hook"])
@pytest.mark.parametrize(
    "part", ["backbone", "backbone.blocks.1.mlp.fc1", "decode_head.mask_embed"]
)
@torch.no_grad()
def test_hooks_of_parts_are_called(passes, network, image, kind, part):
    seen = []
    hook = getattr(network.get_submodule(part), kind)(lambda *arguments: seen.append(1))
    assert_plain(passes, network, image)
    assert seen
    hook.remove()
    network(image)
    assert len(passes) == 1


@torch.no_grad()
def test_hooks_of_the_whole_network_are_called_anyway(passes, network, image):
    seen = []
    network.register_forward_hook(lambda *arguments: seen.append(1))
    network(image)
    assert len(passes) == len(seen) == 1


@torch.no_grad()
def test_hooks_of_all_modules_are_called(passes, network, image):
    seen = []
    hook = nn.modules.module.register_module_forward_hook(lambda *arguments: seen.append(1))
    try:
        network(image)
    finally:
        hook.remove()
    assert passes == []
    assert len(seen) > 100


class HalfLinear(nn.Linear):
    def forward(self, x):
        return super().forward(x) / 2


def replace(network, part, module):
    parent, _, name = part.rpartition(".")
    setattr(network.get_submodule(parent), name, module.eval())


def halve_a_linear_layer(network):
    half = HalfLinear(16, 32)
    half.load_state_dict(network.backbone.blocks[0].mlp.fc1.state_dict())
    replace(network, "backbone.blocks.0.mlp.fc1", half)


def factorise_a_linear_layer(network):
    low_rank = nn.Sequential(nn.Linear(16, 3, bias=False), nn.Linear(3, 32))
    replace(network, "backbone.blocks.0.mlp.fc1", low_rank)


def fuse_a_norm(network):
    layers = network.backbone.spm.conv2
    fused = nn.utils.fusion.fuse_conv_bn_eval(layers[0], layers[1])
    replace(network, "backbone.spm.conv2.0", fused)
    replace(network, "backbone.spm.conv2.1", nn.Identity())


def remove_a_norm(network):
    replace(network, "backbone.norm2", nn.Identity())


def forget_statistics(network):
    replace(network, "backbone.spm.stem.1", nn.BatchNorm2d(4, track_running_stats=False))


def squash_a_feed_forward_network(network):
    replace(network, "decode_head.pixel_decoder.encoder.layers.0.ffns.0.layers.2", nn.Tanh())


def change_a_convolution(network, **arguments):
    """Gives the last 3 x 3 convolution other arguments than it was built with."""
    name = "decode_head.pixel_decoder.output_convs.0.conv"
    old = network.get_submodule(name)
    new = nn.Conv2d(old.in_channels, old.out_channels, 3, bias=False, **arguments)
    new.load_state_dict(old.state_dict())
    replace(network, name, new.eval())


def dilate_a_convolution(network):
    change_a_convolution(network, padding=2, dilation=2)


def reflect_at_the_border(network):
    change_a_convolution(network, padding=1, padding_mode="reflect")


def remove_the_norm_of_a_query(network):
    replace(network, "backbone.interactions.0.extractor.query_norm", nn.Identity().eval())


def overwrite_a_forward(network):
    network.backbone.blocks[1].mlp.forward = torch.zeros_like


def quantise(network):
    # the query, key and value weights and the attention's are read by the plain modules too
    names = {
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and not name.endswith((".qkv", ".out_proj"))
    }
    torch.ao.quantization.quantize_dynamic(network, names, dtype=torch.qint8, inplace=True)


def parametrise(network):
    linear = network.backbone.blocks[1].mlp.fc2
    parametrizations.weight_norm(linear)
    linear.parametrizations.weight.original0.mul_(2)


def parametrise_the_old_way(network):
    convolution = network.decode_head.pixel_decoder.mask_feature
    prune.random_unstructured(convolution, "weight", 0.5)


class Halved(torch.Tensor):
    """A tensor that is half of what its memory holds wherever it is used."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is torch.nn.functional.linear:
            x, weight, *rest = args
            return function(x, weight.as_subclass(torch.Tensor) / 2, *rest, **(kwargs or {}))
        return super().__torch_function__(function, types, args, kwargs or {})


def give_a_weight_another_class(network):
    linear = network.backbone.blocks[1].mlp.fc1
    linear.weight = nn.Parameter(linear.weight.detach().as_subclass(Halved))


CHANGES = [
    halve_a_linear_layer,
    factorise_a_linear_layer,
    fuse_a_norm,
    remove_a_norm,
    forget_statistics,
    squash_a_feed_forward_network,
    dilate_a_convolution,
    reflect_at_the_border,
    remove_the_norm_of_a_query,
    overwrite_a_forward,
    parametrise,
    parametrise_the_old_way,
    give_a_weight_another_class,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@torch.no_grad()
def test_changed_modules_compute_what_they_say(passes, network, image, change):
    change(network)
    assert_plain(passes, network, image)
    assert not all(map(torch.equal, network(image), plain(SHARED, image)))


@torch.no_grad()
def test_a_torch_that_cannot_be_asked_is_not_served(passes, network, image, monkeypatch):
    monkeypatch.delattr("torch.nn.modules.module._has_any_global_hook")
    assert_plain(passes, network, image)


@torch.no_grad()
def test_synchronised_norms_are_called(passes, network, image):
    changed = nn.SyncBatchNorm.convert_sync_batchnorm(network).eval()
    assert_plain(passes, changed, image)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(
    not {"x86", "fbgemm", "onednn", "qnnpack"} & set(torch.backends.quantized.supported_engines),
    reason="this PyTorch cannot quantise",
)
@torch.no_grad()
def test_quantised_layers_compute_what_they_say(passes, network, image):
    quantise(network)
    assert_plain(passes, network, image)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@torch.no_grad()
def test_weights_of_another_type_are_not_served(passes, network, image, dtype):
    for given in (image, image.to(dtype)):
        assert_plain(passes, network.to(dtype), given)


@torch.no_grad()
def test_a_part_of_another_type_is_not_served(passes, network, image):
    network.decode_head.mask_embed.double()
    assert_plain(passes, network, image)


@torch.no_grad()
def test_images_of_another_type_are_not_served(passes, network, image):
    assert_plain(passes, network, image.double())


@torch.no_grad()
def test_weights_elsewhere_are_not_served(passes, network, image):
    with torch.device("meta"):
        other = copy.deepcopy(network).to("meta")
    assert other(image.to("meta"))[0].is_meta
    assert_plain(passes, other, image)


@torch.no_grad()
def test_float16_is_not_served(passes, network, image):
    with torch.autocast("cpu", torch.float16):
        assert_plain(passes, network, image)


@torch.no_grad()
def test_the_dtype_of_products_is_the_autocasts(passes, network, image):
    network(image)
    with torch.autocast("cpu", torch.bfloat16):
        network(image)
        with torch.autocast("cpu", enabled=False):
            network(image)
    assert [dtype for *_, dtype in passes] == [torch.float32, torch.bfloat16, torch.float32]


def test_without_autocast_products_are_float32():
    assert compute_dtype() == torch.float32
    with torch.autocast("cpu", torch.float16):
        assert compute_dtype() == torch.float16
    with torch.autocast("cuda", torch.bfloat16, enabled=False):
        assert compute_dtype() == torch.float32


@pytest.mark.filterwarnings("ignore:Dynamo")
@torch.no_grad()
def test_compilers_see_the_plain_modules(passes, network, image):
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    assert_close(compiled(image), plain(network, image))
    assert passes == []


@torch.no_grad()
def test_exported_networks_hold_the_plain_modules(passes, network, image):
    exported = torch.export.export(network, (image,))
    assert_close(exported.module()(image), plain(network, image))
    assert passes == []
    assert not any("mkldnn" in str(node.target) for node in exported.graph.nodes)


@pytest.mark.filterwarnings("ignore")
@torch.no_grad()
def test_traced_networks_hold_the_plain_modules(passes, network, image):
    traced = torch.jit.trace(network, image, check_trace=False)
    assert_close(traced(image), plain(network, image))
    assert passes == []


@torch.no_grad()
def test_counted_operations_are_the_plain_modules(passes, network, image):
    network.requires_grad_(False)
    with FlopCounterMode(display=False) as whole:
        network(image)
    with FlopCounterMode(display=False) as parts:
        plain(network, image)
    assert passes == []
    assert whole.get_total_flops() == parts.get_total_flops() > 0


class Recording(TorchDispatchMode):
    """Keeps the names of all operations."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        self.names.append(str(operator))
        return operator(*args, **(kwargs or {}))


@torch.no_grad()
def test_modes_that_watch_operations_see_the_plain_modules(passes, network, image):
    with Recording() as whole:
        network(image)
    with Recording() as parts:
        plain(network, image)
    assert passes == []
    assert whole.names == parts.names


@torch.no_grad()
def test_images_without_values_are_not_served(passes, network, image):
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        class_logits, mask_logits = network(mode.from_tensor(image))
    assert class_logits.shape == (2, 6, 6)
    assert mask_logits.shape == (2, 6, 16, 16)
    assert passes == []


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@torch.no_grad()
def test_mapped_calls_are_not_served(passes, network, image):
    found = torch.vmap(network)(image[:, None])
    assert_close([part[:, 0] for part in found], plain(network, image))
    assert passes == []


@torch.no_grad()
def test_parameters_given_for_one_call_are_used(passes, network, image):
    other = {name: value * 1.1 for name, value in network.named_parameters()}
    found = torch.func.functional_call(network, other, (image,))
    for name, value in network.named_parameters():
        value.copy_(other[name])
    expected = network(image)
    assert all(map(torch.equal, found, expected))


def test_a_layer_with_two_attentions_is_not_served(passes, network, image):
    layers = network.decode_head.pixel_decoder.encoder.layers
    (layer,) = layers
    layers[0] = TransformerLayer(
        operation_order=layer.operation_order,
        attentions=[*layer.attentions, *copy.deepcopy(layer.attentions)],
        ffns=layer.ffns,
        norms=layer.norms,
    ).eval()
    with torch.no_grad():
        assert_plain(passes, network, image)
