"""How much memory is free, what fits into it, and what is said where something does not."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from modelscope_vitadapter.errors import ImageMemoryError
from modelscope_vitadapter.hints import option

CLASS_MAP_BYTES = 9
"""Bytes for each pixel that no image gets by without: the class map is decided in one byte and
given in eight. Reading takes less (four in Pillow, three as an array) and is over by then."""

SMALL = 2**26
"""Bytes up to which nobody asks how much memory is free."""

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "_STATUS_ALLOC_FAILED")
"""Parts of the messages of MPS, of the CPU's allocator, and of cuBLAS and cuDNN, where no class of
error tells."""

CPU = torch.device("cpu")


def free_memory(device: torch.device) -> int | None:
    """Bytes that can be allocated on a device; None where it is unknown.

    For a CPU the smaller of what the machine has available and what the container (cgroup) still
    allows. For an accelerator what its driver reports, plus what PyTorch holds in reserve.
    """
    if device.type == "cpu":
        return min([int(psutil.virtual_memory().available), *container_memory()])
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    module = getattr(torch, device.type, None)
    if module is None or not hasattr(module, "mem_get_info"):
        return None
    free: int = module.mem_get_info(device)[0]
    reserved: int = module.memory_reserved(device) - module.memory_allocated(device)
    return free + reserved


def container_memory(
    root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> list[int]:
    """What each Linux control group around this process still allows; empty without a limit.

    They are mounted at `root`, version 2 or, in `memory`, version 1; `membership` names them.
    """
    allowed = []
    for line in _text(membership).splitlines():
        _, kinds, path = line.split(":", 2)
        if kinds == "":
            base, names = root, ("memory.max", "memory.current", "inactive_file")
        elif kinds == "memory":
            base = root / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = base / path.lstrip("/")
        for folder in (group, *group.parents):
            limit, usage = (_text(folder / name).strip() for name in names[:2])
            # Not a number: "max", or no such file.
            if folder.is_relative_to(base) and limit.isdecimal() and usage.isdecimal():
                lines = _text(folder / "memory.stat").splitlines()
                cached = int(dict(line.split(" ", 1) for line in lines).get(names[2], 0))
                allowed.append(max(int(limit) - int(usage) + cached, 0))
    return allowed


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def require_memory(what: str, needed: int, purpose: str, remedy: str) -> None:
    """Refuses what does not fit into the memory that is free, before it is taken.

    Raises:
        ImageMemoryError: fewer than `needed` bytes are free. Never for `SMALL` needs, nor where
            that is unknown.
    """
    free = free_memory(CPU) if needed > SMALL else None
    if free is not None and needed > free:
        raise ImageMemoryError(
            f"{what} needs {needed} bytes for {purpose}, and {free} bytes are free; {remedy}"
        )


def check_image_fits(name: str, size: tuple[int, int]) -> None:
    """Refuses an image `(height, width)` whose class map does not fit, before it is decoded."""
    require_memory(
        f"{name} (height {size[0]}, width {size[1]})",
        CLASS_MAP_BYTES * size[0] * size[1],
        "the class of each pixel",
        "reduce it first, or cut it into parts",
    )


def check_masks_fit(size: Sequence[int], count: int, dtype: np.dtype[Any]) -> None:
    """Refuses `count` masks `(height, width)` that do not fit, before one of them is made."""
    pixels = int(size[0]) * int(size[1])
    narrow = mask_bytes(pixels, count, np.dtype(bool))
    other = f", or mask_dtype=bool ({narrow} bytes)" if dtype.itemsize > 1 else ""
    require_memory(
        f"an image of height {size[0]}, width {size[1]} with {count} classes",
        mask_bytes(pixels, count, dtype),
        f"its masks as {dtype}",
        f"pass output='class_map' (one array for all classes){other}",
    )


def check_probabilities_fit(size: Sequence[int], num_classes: int) -> None:
    """Refuses class probabilities of an image `(height, width)` that do not fit into memory."""
    needed = probability_bytes(size, num_classes)
    require_memory(
        f"an image of height {size[0]}, width {size[1]} with {num_classes} classes",
        needed,
        "its class probabilities",
        f"write them to a file with {option('probabilities', 'NAME.npy')} ({needed} bytes on the "
        "disk)",
    )


def probability_bytes(size: Sequence[int], num_classes: int) -> int:
    """Bytes of the probabilities of all classes in float16, for each pixel of an image."""
    return 2 * num_classes * int(size[0]) * int(size[1])


def mask_bytes(pixels: int, count: int, dtype: np.dtype[Any]) -> int:
    """Memory of `count` masks while they are made: each is found as booleans first."""
    found = 0 if dtype == np.dtype(bool) else pixels
    return pixels * count * dtype.itemsize + (found if count else 0)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that a device has too little memory for what was to be done."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(mark in str(error) for mark in OUT_OF_MEMORY)


def release_cached_memory(device: torch.device) -> None:
    """Gives back PyTorch's reserve, whose pieces may be too small for what is needed next."""
    empty = getattr(getattr(torch, device.type, None), "empty_cache", None)
    if empty is not None:
        empty()


def out_of_memory(window: torch.Size, device: torch.device, problem: str) -> torch.OutOfMemoryError:
    """The error for a single window `(3, h, w)` that does not fit; `problem` is PyTorch's words."""
    height, width = window[-2:]
    elsewhere = "" if device.type == "cpu" else ", or device='cpu'"
    return torch.OutOfMemoryError(
        f"{device} has too little memory for the network with a single window of {height} x "
        f"{width} pixels; smaller batches were tried. Free memory there, or build the pipeline "
        f"with torch_dtype='bfloat16'{elsewhere}. PyTorch said: {problem}"
    )
