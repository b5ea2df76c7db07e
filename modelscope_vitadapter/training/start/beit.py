"""Names and shapes of a BEiT checkpoint, turned into those of the adapter's backbone."""

import math
from collections.abc import Iterable

from torch import Tensor

from modelscope_vitadapter.checkpoint.names import hub_name
from modelscope_vitadapter.network.position_bias import EXTRA_ROWS, GridSize, table_for_window

TABLE = "relative_position_bias_table"
SHARED_TABLE = f"rel_pos_bias.{TABLE}"
"""BEiT's pre-training shares one table among its blocks; fine-tuned checkpoints have one each."""

PREFIXES = ("backbone.", "encoder.")


def beit_name(name: str) -> str:
    """The name that BEiT's own code gives an entry, without the prefixes of wrappers."""
    bare = hub_name(name)
    for prefix in PREFIXES:
        bare = bare.removeprefix(prefix)
    return bare


def source_of(name: str, available: Iterable[str]) -> str | None:
    """Which BEiT entry a parameter of the network is filled from.

    Args:
        name: of the network's parameter (`backbone.blocks.0.attn.qkv.weight`).
        available: names that `beit_name` gives.

    Returns:
        A name from `available`, or None where BEiT has no such part.
    """
    have = set(available)
    bare = name.removeprefix("backbone.")
    if not name.startswith("backbone."):
        return None
    if bare in have:
        return bare
    is_table = bare.startswith("blocks.") and bare.endswith(f".attn.{TABLE}")
    return SHARED_TABLE if is_table and SHARED_TABLE in have else None


def fitted(name: str, value: Tensor, shape: tuple[int, ...], grid: GridSize) -> Tensor | None:
    """A BEiT tensor in the shape that the network has for it.

    Args:
        name: of the network's parameter.
        value: BEiT's tensor.
        shape: the network's.
        grid: the network's trained crop in patches `(height, width)`: position biases of another
            one are resized to it.

    Returns:
        A tensor of `shape`, or None where it can't be made to fit.
    """
    if tuple(value.shape) == shape:
        return value
    if name.endswith(TABLE) and value.ndim == 2 and value.shape[1:] == shape[1:]:
        side = (math.isqrt(max(value.shape[0] - EXTRA_ROWS, 0)) + 1) // 2
        if side >= 1 and (2 * side - 1) ** 2 + EXTRA_ROWS == value.shape[0]:
            value = table_for_window(value, (side, side), grid)
    return value if tuple(value.shape) == shape else None
