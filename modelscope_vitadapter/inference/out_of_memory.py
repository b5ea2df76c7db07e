"""A device that runs out of memory: recognised, relieved, and told to the caller."""

import torch

MARKS = ("out of memory", "can't allocate memory", "_STATUS_ALLOC_FAILED")
"""Parts of the messages of MPS, of the CPU's allocator, and of cuBLAS and cuDNN, where no class of
error tells."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that a device has too little memory for what was to be done."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(mark in str(error) for mark in MARKS)


def release_cached_memory(device: torch.device) -> None:
    """Gives memory that PyTorch holds in reserve back to the device, where it keeps any.

    What is in reserve may lie in pieces that are too small for what is needed next.
    """
    empty = getattr(getattr(torch, device.type, None), "empty_cache", None)
    if empty is not None:
        empty()


def out_of_memory(window: torch.Size, device: torch.device, problem: str) -> torch.OutOfMemoryError:
    """The error for a single window that does not fit.

    Args:
        window: its shape, `(3, h, w)`.
        device: where it was to run.
        problem: what PyTorch said.
    """
    height, width = window[-2:]
    elsewhere = "" if device.type == "cpu" else ", or device='cpu'"
    return torch.OutOfMemoryError(
        f"{device} has too little memory for the network with a single window of {height} x "
        f"{width} pixels; smaller batches were tried. Free memory there, or build the pipeline "
        f"with torch_dtype='bfloat16'{elsewhere}. PyTorch said: {problem}"
    )
