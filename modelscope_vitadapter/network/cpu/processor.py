"""What the processor has that decides between two ways to compute the same."""

from functools import lru_cache

import torch


@lru_cache(maxsize=1)
def has_matrix_tiles() -> bool:
    """Whether the processor multiplies whole tiles of matrices (Intel's AMX).

    There products, above all in bfloat16, are cheap beside everything else, so what writes less to
    memory wins over what multiplies less. PyTorch has no stable public name for it; one that cannot
    tell says no.
    """
    if hasattr(torch.cpu, "get_capabilities"):
        return bool(torch.cpu.get_capabilities().get("amx_tile"))
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", bool)())
