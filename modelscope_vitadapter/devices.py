"""Names of devices and number types, and what a process has to mind on a CPU.

ModelScope's device names are `cpu`, `gpu` and `gpu:1`, PyTorch's `cuda:1`, `mps`, `npu`.
"""

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch

from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.validation import parse_dtype_name

BUILTIN_KINDS = ("cpu", "cuda", "gpu", "xpu")
"""Kinds of device that ModelScope 1.x knows itself."""

INSTRUCTIONS = {
    torch.bfloat16: ("avx512_bf16", "amx_bf16", "amx_tile", "avx10_2", "bf16", "sve_bf16"),
    torch.float16: ("avx512_fp16", "amx_fp16", "avx10_1", "avx10_2", "fp16_arith", "sve_fp16"),
}
"""Names under which PyTorch reports that a processor multiplies in a type."""

logger = get_logger()

_loaded_in = os.getpid()
"""The process that loaded this module: in a forked child another one, in a spawned one its own."""


def builtin_device_name(name: str | torch.device | None) -> str:
    """The name to give to ModelScope: `name` where it knows the kind, else `cpu`.

    Devices that ModelScope would refuse are handled on our side afterwards, see `torch_device`.
    """
    text = "gpu" if name is None else str(name)
    return text if text.split(":")[0].lower() in BUILTIN_KINDS else "cpu"


def torch_device(name: str | torch.device | None) -> torch.device | None:
    """The device that ModelScope does not know, None if it does; ValueError if PyTorch doesn't."""
    if name is None or str(name).split(":")[0].lower() in BUILTIN_KINDS:
        return None
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, NotImplementedError, AssertionError) as error:
        raise ValueError(
            f"device={str(name)!r}: expected 'cpu', 'gpu', 'cuda:N' or another device that this "
            f"build of PyTorch can use ({str(error).splitlines()[0]})"
        ) from error
    return device


def parse_torch_dtype(value: object) -> torch.dtype:
    """Reads `torch_dtype`, see `validation.parse_dtype_name`; None means float32."""
    dtype: torch.dtype = getattr(torch, parse_dtype_name(value))
    return dtype


def processor_features() -> Mapping[str, Any]:
    """What PyTorch reports of the processor, by its names; 2.10 has no public function for it."""
    if hasattr(torch.cpu, "get_capabilities"):
        features: Mapping[str, Any] = torch.cpu.get_capabilities()
        return features
    names = ("avx512_bf16", "amx_tile", "amx_fp16")
    return {name: getattr(torch.cpu, f"_is_{name}_supported", bool)() for name in names}


@cache
def usable_dtype(wanted: torch.dtype, device: torch.device) -> torch.dtype:
    """The type to compute in: `wanted`, or float32 on a CPU that would have to emulate it.

    Emulation costs accuracy and as a rule time as well. Of each type is warned once in a process.
    """
    if device.type != "cpu" or wanted is torch.float32:
        return wanted
    if any(processor_features().get(name) for name in INSTRUCTIONS[wanted]):
        return wanted
    logger.warning(
        "torch_dtype=%r: this processor is not known to have instructions for it, so float32 is "
        "used instead",
        str(wanted).removeprefix("torch."),
    )
    return torch.float32


def arrange_network(network: torch.nn.Module, device: torch.device) -> None:
    """Lays a network's weights out as its device computes fastest; names, shapes, values stay.

    cuDNN's convolutions run in channels-last order, which they take over from their weights.
    """
    if device.type == "cuda":
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def prepare_forked_process() -> None:
    """Lets a forked process compute in one thread; does nothing in any other.

    Only the thread that forks lives on in the child. OpenMP, in which PyTorch computes on a CPU,
    does not notice: where the parent has computed in several threads, the child waits for ever for
    those that it thinks it has. To be called by each thread before it computes, since OpenMP keeps
    the number for each thread.
    """
    if os.getpid() != _loaded_in and torch.get_num_threads() > 1:
        torch.set_num_threads(1)
        logger.warning(
            "this process was forked from one that had loaded PyTorch, so it computes in one "
            "thread; for more, start processes with multiprocessing's 'spawn' method"
        )
