"""Find the state dict in what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from modelscope_vitadapter.checkpoint.keys import STATE_DICT_ENTRIES, shortened
from modelscope_vitadapter.errors import CheckpointError


def find_state_dict(content: object, path: Path) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """Give the tensors of a checkpoint by name, and the names of everything else.

    Args:
        content: the unpickled object: a state dict, or a mapping that holds one under
            `state_dict`, `model` or `module`.
        path: the file, named in errors.

    Returns:
        The state dict's tensors, and the names of what is left aside: other top-level entries
        (`meta`, `optimizer`, ...) and entries of the state dict that are no tensors.

    Raises:
        CheckpointError: there is no state dict.
    """
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"The checkpoint '{path}' holds one {type(content).__name__}; expected a state dict "
            "(names to tensors), bare or under 'state_dict'. Save the model's state_dict()."
        )
    for entry in STATE_DICT_ENTRIES:
        inner = content.get(entry)
        if isinstance(inner, Mapping) and _tensors(inner):
            beside = [str(name) for name in content if name != entry]
            return _tensors(inner), (*beside, *_others(inner))
    tensors = _tensors(content)
    if not tensors:
        raise CheckpointError(
            f"The checkpoint '{path}' holds no tensors by name; its entries are "
            f"[{shortened([repr(name) for name in content])}], expected a state dict, bare or "
            "under 'state_dict', 'model' or 'module'. Save the model's state_dict()."
        )
    return tensors, _others(content)


def _tensors(mapping: Mapping[object, object]) -> dict[str, torch.Tensor]:
    return {
        name: value
        for name, value in mapping.items()
        if isinstance(name, str) and isinstance(value, torch.Tensor)
    }


def _others(mapping: Mapping[object, object]) -> tuple[str, ...]:
    tensors = _tensors(mapping)
    return tuple(str(name) for name in mapping if name not in tensors)
