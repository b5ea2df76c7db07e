"""Find the state dict in what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from modelscope_vitadapter.checkpoint.keys import STATE_DICT_ENTRIES
from modelscope_vitadapter.checkpoint.pickle_reader import PickleReader
from modelscope_vitadapter.checkpoint.pickled import Inert, NotAsPickledError, PickledTensor
from modelscope_vitadapter.errors import CheckpointError
from modelscope_vitadapter.validation import listing


def read_pickle(reader: PickleReader, path: Path) -> object:
    """Give a checkpoint's next pickled object.

    Args:
        reader: reads the pickles of the file.
        path: the file, named in errors.

    Returns:
        What was pickled, see `PickleReader.read`.

    Raises:
        CheckpointError: the pickle asks for anything but tensors, containers, plain values and
            numpy numbers (named in the error), or is damaged.
    """
    problem = None
    try:
        content = reader.read()
    except NotAsPickledError as error:
        problem = error
    if reader.foreign:
        raise CheckpointError(
            f"The checkpoint '{path}' asks for Python code to be run: "
            f"{listing(reader.foreign)}. It was refused and nothing ran; expected tensors, "
            "containers, plain values and numpy numbers only. Save the model's state_dict() alone, "
            "from a program that you trust."
        )
    if problem is not None:
        raise CheckpointError(
            f"The checkpoint '{path}' cannot be read as PyTorch weights ({problem}, at byte "
            f"{reader.position} of its pickles); it is damaged, cut short or not a checkpoint. "
            "Download or copy it again."
        ) from problem
    return content


def find_state_dict(
    content: object, path: Path
) -> tuple[dict[str, PickledTensor], tuple[str, ...]]:
    """Give the tensors of a checkpoint by name, and the names of everything else.

    Args:
        content: what was pickled: a state dict, or a mapping that holds one under `state_dict`,
            `model` or `module`.
        path: the file, named in errors.

    Returns:
        The state dict's tensors, and the names of what is left aside: other top-level entries
        (`meta`, `optimizer`, ...) and entries of the state dict that are no tensors.

    Raises:
        CheckpointError: there is no state dict.
    """
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"The checkpoint '{path}' holds one {_kind(content)}; expected a state dict "
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
            f"[{listing([repr(name) for name in content])}], expected a state dict, bare or "
            "under 'state_dict', 'model' or 'module'. Save the model's state_dict()."
        )
    return tensors, _others(content)


def _kind(content: object) -> str:
    if isinstance(content, PickledTensor):
        return "Tensor"
    return content.what if isinstance(content, Inert) else type(content).__name__


def _tensors(mapping: Mapping[object, object]) -> dict[str, PickledTensor]:
    return {
        name: value
        for name, value in mapping.items()
        if isinstance(name, str) and isinstance(value, PickledTensor)
    }


def _others(mapping: Mapping[object, object]) -> tuple[str, ...]:
    tensors = _tensors(mapping)
    return tuple(str(name) for name in mapping if name not in tensors)
