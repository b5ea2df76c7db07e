"""Which calls the processor's path serves; all others take the plain modules."""

import torch
from torch import Tensor, nn
from torch.nn.modules import module as module_calls

from modelscope_vitadapter.network.seeded_dropout import DropPath

DTYPES = (torch.float32, torch.bfloat16)
"""What products may be computed in."""

OWN_MODULES = ("torch.nn.modules.", "modelscope_vitadapter.network.")
"""Where the classes of modules are defined whose weights may be read as they are."""

Structure = tuple[tuple[str, type[nn.Module], str], ...]


def structure(network: nn.Module) -> Structure:
    """What a network is made of: name, class and arguments of each of its modules.

    Modules that do nothing in evaluation may have any arguments.
    """
    return tuple(
        (name, type(module), "" if isinstance(module, DropPath) else module.extra_repr())
        for name, module in network.named_modules()
    )


def compute_dtype() -> torch.dtype:
    """float32, or what the surrounding autocast asks for."""
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu")
    return torch.float32


def serves_call(network: nn.Module, built: Structure, windows: Tensor) -> bool:
    """Whether a call is plain inference on a processor.

    Training, gradients, tracing, exporting and compiling need the modules' own operations, and so
    do hooks on modules, quantised or otherwise replaced modules and weights of another type.

    Args:
        network: as it is now.
        built: its `structure` when it was built.
        windows: what it is called with.
    """
    if type(windows) is not Tensor or windows.device.type != "cpu":
        return False
    if windows.dtype != torch.float32 or compute_dtype() not in DTYPES:
        return False
    if network.training or torch.is_grad_enabled() or _is_watched(windows):
        return False
    if not all(_is_own(module) for module in network.modules() if module is not network):
        return False
    return structure(network) == built


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
