"""Names of devices: ModelScope's (`gpu`, `gpu:1`) and PyTorch's (`cuda:1`, `mps`, `npu`)."""

import torch

BUILTIN_KINDS = ("cpu", "cuda", "gpu", "xpu")
"""Kinds of device that ModelScope 1.x knows itself."""


def builtin_device_name(name: str | torch.device | None) -> str:
    """The name to give to ModelScope: `name` where it knows the kind, else `cpu`.

    Devices that ModelScope would refuse are handled on our side afterwards, see `torch_device`.
    """
    text = "gpu" if name is None else str(name)
    return text if text.split(":")[0].lower() in BUILTIN_KINDS else "cpu"


def torch_device(name: str | torch.device | None) -> torch.device | None:
    """The device that ModelScope does not know, or None where it does.

    Raises:
        ValueError: PyTorch does not know the device either.
    """
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


def arrange_network(network: torch.nn.Module, device: torch.device) -> None:
    """Lays a network's weights out as its device computes fastest; names, shapes, values stay.

    cuDNN's convolutions run in channels-last order, which they take over from their weights.
    """
    if device.type == "cuda":
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
