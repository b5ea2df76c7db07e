"""Whether a reduced precision that was asked for pays on the device at hand."""

import time
from functools import cache

import torch

from modelscope_vitadapter.logs import get_logger

INSTRUCTIONS = {
    torch.bfloat16: ("avx512_bf16", "amx_bf16", "amx_tile", "avx10_2", "bf16", "sve_bf16"),
    torch.float16: ("avx512_fp16", "amx_fp16", "avx10_1", "avx10_2", "fp16_arith", "sve_fp16"),
}
"""Names under which PyTorch reports that a processor multiplies in a type."""

PRODUCT = (256, 1024, 1024)
"""Rows, inner length and columns of the matrix product that is timed: a small linear layer."""

REPEATS = 5
ENOUGH_SECONDS = 0.1
"""The product is repeated until either is reached; emulated, a single one can take seconds."""

logger = get_logger()


def usable_dtype(wanted: torch.dtype, device: torch.device) -> torch.dtype:
    """The type to compute in.

    A processor without instructions for a reduced type has it emulated, which costs accuracy and as
    a rule time as well. There, one product is timed in both types once, and a warning says which of
    them is used.

    Args:
        wanted: float32, bfloat16 or float16.
        device: where is computed. Only for a CPU is there a choice.
    """
    if device.type != "cpu" or wanted is torch.float32 or has_instructions(wanted):
        return wanted
    return faster_dtype(wanted)


def has_instructions(dtype: torch.dtype) -> bool:
    """Whether the processor is known to have instructions for products in a reduced type."""
    report = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(report.get(name) for name in INSTRUCTIONS[dtype])


@cache
def faster_dtype(wanted: torch.dtype) -> torch.dtype:
    """The faster of a type and float32 on this CPU; warns, once in a process."""
    faster = time_of_product(wanted) < time_of_product(torch.float32)
    logger.warning(
        "torch_dtype=%r: this processor is not known to have instructions for it; %s",
        str(wanted).removeprefix("torch."),
        "it is used all the same, since a product in it took less time here than in float32"
        if faster
        else "float32 is used instead, which is faster here",
    )
    return wanted if faster else torch.float32


def time_of_product(dtype: torch.dtype) -> float:
    """Seconds of one matrix product of size `PRODUCT` on the CPU, the least of a few."""
    rows, inner, columns = PRODUCT
    left, right = torch.ones(rows, inner, dtype=dtype), torch.ones(inner, columns, dtype=dtype)
    seconds: list[float] = []
    while len(seconds) < REPEATS and sum(seconds) < ENOUGH_SECONDS:
        started = time.perf_counter()
        torch.mm(left, right)
        seconds.append(time.perf_counter() - started)
    return min(seconds)
