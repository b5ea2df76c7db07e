"""Which networks and calls the processor's path serves; all others take the plain modules."""

import torch
from torch import Tensor, nn
from torch.nn.modules import module as module_calls

from modelscope_vitadapter.network.adapter import BEiTAdapter
from modelscope_vitadapter.network.beit import Attention, Mlp
from modelscope_vitadapter.network.cpu.modules import modules_of
from modelscope_vitadapter.network.cpu.pixel_decoder import LEVELS
from modelscope_vitadapter.network.deformable_attention import MultiScaleDeformableAttention
from modelscope_vitadapter.network.interaction import ConvFFN
from modelscope_vitadapter.network.mask2former_head import Mask2FormerHead
from modelscope_vitadapter.network.pixel_decoder import ConvModule, MSDeformAttnPixelDecoder
from modelscope_vitadapter.network.sample_noise import Dropout
from modelscope_vitadapter.network.spatial_prior import SpatialPriorModule
from modelscope_vitadapter.network.transformer_layer import (
    FeedForward,
    MaskedAttention,
    TransformerLayer,
)

DTYPES = (torch.float32, torch.bfloat16)
"""What products may be computed in."""

OWN_MODULES = ("torch.nn.modules.", "modelscope_vitadapter.network.")
"""Where the classes of modules are defined whose weights may be read as they are."""

PARTS: dict[type[nn.Module], dict[str, type[nn.Module]]] = {
    BEiTAdapter: {"up": nn.ConvTranspose2d} | {f"norm{i}": nn.BatchNorm2d for i in range(1, 5)},
    SpatialPriorModule: {"fc1": nn.Conv2d},
    Attention: {"qkv": nn.Linear, "proj": nn.Linear},
    Mlp: {"fc1": nn.Linear, "fc2": nn.Linear},
    ConvFFN: {"fc1": nn.Linear, "fc2": nn.Linear},
    MultiScaleDeformableAttention: dict.fromkeys(
        ("sampling_offsets", "attention_weights", "value_proj", "output_proj"), nn.Linear
    ),
    ConvModule: {"conv": nn.Conv2d},
    MSDeformAttnPixelDecoder: {"mask_feature": nn.Conv2d},
    MaskedAttention: {"attn": nn.MultiheadAttention},
}
"""The parts of modules whose weights are read instead of calling them."""


def compute_dtype() -> torch.dtype:
    """float32, or what the surrounding autocast asks for."""
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu")
    return torch.float32


def serves_call(network: nn.Module, windows: Tensor) -> bool:
    """Whether a call is plain inference on a processor.

    Training, gradients, tracing, exporting and compiling need the modules' own operations, and so
    do hooks on modules, quantised or otherwise replaced modules and weights of another type.
    """
    if type(windows) is not Tensor or windows.device.type != "cpu":
        return False
    if windows.dtype != torch.float32 or compute_dtype() not in DTYPES:
        return False
    if network.training or torch.is_grad_enabled() or _is_watched(windows):
        return False
    return all(_is_own(module) for module in network.modules() if module is not network)


def structure(network: nn.Module) -> tuple[tuple[str, type[nn.Module], str], ...]:
    """What a network is made of: name, class and arguments of each of its modules.

    Modules that do nothing in evaluation may have any arguments.
    """
    return tuple(
        (name, type(module), "" if isinstance(module, nn.Dropout) else module.extra_repr())
        for name, module in network.named_modules()
    )


def _is_watched(windows: Tensor) -> bool:
    """Whether something else than a processor computes or records operations or modules.

    PyTorch has no public way to ask most of it; one that lacks a function here counts as watched.
    """
    try:
        return (
            torch.compiler.is_compiling()
            or torch._C._get_tracing_state() is not None
            or torch._C._len_torch_dispatch_stack() > 0
            or torch._C._functorch.is_functorch_wrapped_tensor(windows)
            or module_calls._has_any_global_hook()  # type: ignore[no-untyped-call]
        )
    except AttributeError:
        return True


def _is_own(module: nn.Module) -> bool:
    """Whether a module is one that this package builds, with float32 weights and no hooks."""
    if not type(module).__module__.startswith(OWN_MODULES) or module.training:
        return False
    if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
        return False
    parameters = module._parameters.values()
    return all(
        p is None or (type(p) in (nn.Parameter, Tensor) and p.dtype == torch.float32 and p.is_cpu)
        for p in parameters
    )


def serves_architecture(backbone: BEiTAdapter, head: Mask2FormerHead) -> bool:
    """Whether the network is built like the hub's: it may differ in sizes, norms, activations."""
    decoder = head.pixel_decoder
    if len(decoder.input_convs) != LEVELS or len(decoder.lateral_convs) != 1:
        return False
    layers = modules_of(decoder.encoder.layers, TransformerLayer)
    if any(
        layer.operation_order[0] != "self_attn" or len(layer.attentions) != 1 for layer in layers
    ):
        return False
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    if any(norm.running_mean is None for norm in norms):
        return False
    return all(_has_own_parts(module) for part in (backbone, head) for module in part.modules())


def _has_own_parts(module: nn.Module) -> bool:
    """Whether the parts of a module are those that it was built with, as far as they are read."""
    if isinstance(module, SpatialPriorModule):
        rows = (module.stem, module.conv2, module.conv3, module.conv4)
        if not all(map(_norms_follow_convolutions, rows)):
            return False
    if isinstance(module, FeedForward):
        return all(map(_is_feed_forward_step, module.layers))
    parts = PARTS.get(type(module), {})
    return all(type(module.get_submodule(name)) is kind for name, kind in parts.items())


def _norms_follow_convolutions(layers: nn.Sequential) -> bool:
    kinds = [type(layer) for layer in layers]
    return all(kinds[i + 1] is nn.BatchNorm2d for i, kind in enumerate(kinds) if kind is nn.Conv2d)


def _is_feed_forward_step(step: nn.Module) -> bool:
    """Whether a step is a linear layer, alone or with an activation of single values."""
    if not isinstance(step, nn.Sequential):
        return type(step) in (nn.Linear, nn.Dropout, Dropout)
    activation = step[1]
    shared = not isinstance(activation, nn.PReLU) or activation.num_parameters == 1
    return type(step[0]) is nn.Linear and shared
