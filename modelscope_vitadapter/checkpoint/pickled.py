"""What the functions and classes that a checkpoint's pickle names stand for.

Nothing is looked up in Python: a name is text, and the few that describe tensors have a function
here that keeps the description.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch

MAX_DIMENSIONS = 64
"""Dimensions of a tensor, as in torch."""

LONGEST_KEY = 10_000
"""Characters of a name; two equal ones of megabytes take long to compare, at each look-up."""

_LARGEST = 2**62

_KNOWN = re.compile(
    r"torch\._utils\._rebuild_(tensor(_v[23])?|parameter(_with_state)?|qtensor|sparse_\w*tensor"
    r"|meta_tensor_no_storage|nested_tensor|wrapper_subclass|device_tensor_from_\w+|xla_tensor)"
    r"|torch\._tensor\._rebuild_from_type_v2|torch\.serialization\._get_layout"
    r"|torch(\.cuda|\.sparse|\.storage)?\.\w*(Storage|Tensor)|torch\.nn\.parameter\.Parameter"
    r"|torch\.(Size|device|per_\w+|b?float\d\w*|u?int\d+|bool|complex\d+|q[iu]+nt\w+)"
    r"|collections\.(OrderedDict|Counter)|builtins\.(set|frozenset|bytearray|complex)|_codecs\.encode"
    # mmcv stores training information under `meta`, with numpy's numbers in it.
    r"|numpy\.dtype|numpy\._?core\.multiarray\.scalar"
)

_ELEMENTS = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Byte": torch.uint8,
    "Char": torch.int8,
    "Short": torch.int16,
    "Int": torch.int32,
    "Long": torch.int64,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
    "QUInt8": torch.quint8,
    "QInt8": torch.qint8,
    "QInt32": torch.qint32,
    "QUInt4x2": torch.quint4x2,
    "QUInt2x4": torch.quint2x4,
    "Untyped": torch.uint8,
}
"""Types of elements by the first part of a storage's name."""


class NotAsPickledError(Exception):
    """A pickle is not one that `torch.save` makes; the message says where it differs."""


@dataclass(frozen=True)
class Name:
    """A function or class that a pickle names, `module.name`."""

    text: str


class Inert:
    """Stands for a value that nothing is made of; every two differ.

    Attributes:
        what: what the pickle would have made.
    """

    __slots__ = ("what",)

    def __init__(self, what: str) -> None:
        self.what = what

    def __repr__(self) -> str:
        return f"<{self.what}>"


@dataclass(frozen=True)
class Storage:
    """A run of elements in the file that tensors are views of.

    Attributes:
        key: its name in the file.
        dtype: type of its elements; bytes where the storage has none.
        count: number of its elements.
        first: where the part that is meant begins, in elements.
    """

    key: str
    dtype: torch.dtype
    count: int
    first: int = 0


@dataclass(frozen=True, eq=False)
class PickledTensor:
    """A tensor as a pickle describes it.

    Attributes:
        shape: its sizes; empty where they are not known.
        dtype: type of its elements.
        storage: where its elements are, None where they are not in the file.
        first: its first element in the storage.
        stride: steps between elements, counted in elements.
        problem: why its data can't be read, or None.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    storage: Storage | None
    first: int = 0
    stride: tuple[int, ...] = ()
    problem: str | None = None


def is_known(name: str) -> bool:
    """Whether a checkpoint of weights may name this function or class."""
    return _KNOWN.fullmatch(name) is not None


def is_count(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number that a size or a place in a file can be."""
    return type(value) is int and 0 <= value < _LARGEST


def is_key(value: object) -> TypeGuard[str]:
    """Whether a value is text that can name a tensor or a storage."""
    return isinstance(value, str) and len(value) <= LONGEST_KEY


def storage_of(reference: object) -> Storage:
    """Read a persistent reference: `('storage', type, key, location, count[, view])`.

    Raises:
        NotAsPickledError: it is none.
    """
    if (
        isinstance(reference, tuple)
        and len(reference) in (5, 6)
        and reference[0] == "storage"
        and isinstance(reference[1], Name)
        and is_key(reference[2])
        and is_count(reference[4])
    ):
        kind = reference[1].text.rpartition(".")[2].removesuffix("Storage")
        dtype, first = _ELEMENTS.get(kind), 0
        if len(reference) == 6 and reference[5] is not None:
            view = reference[5]  # (key, first element, number of elements)
            first = view[1] if isinstance(view, tuple) and len(view) == 3 else -1
        if dtype is not None and is_count(first):
            return Storage(reference[2], dtype, reference[4], first)
    raise NotAsPickledError("a reference that is no storage")


def called(function: Name, arguments: tuple[Any, ...]) -> object:
    """What a call in a pickle stands for.

    Args:
        function: what is called.
        arguments: what it is given.

    Returns:
        A `PickledTensor`, dictionary or tuple where the call describes one, else an `Inert`.

    Raises:
        NotAsPickledError: the arguments don't describe what the function makes.
    """
    make = _CALLS.get(function.text)
    if make is not None:
        try:
            return make(*arguments)
        except TypeError:
            raise NotAsPickledError(f"{function.text} with other arguments") from None
    if re.fullmatch(r"torch\.(_utils\._rebuild_|nn\.parameter\.).*|torch\..*Tensor", function.text):
        return _without_data("is not an ordinary dense tensor")
    return Inert(function.text)


def _without_data(problem: str) -> PickledTensor:
    return PickledTensor((), torch.float32, None, problem=problem)


def _counts(value: object) -> tuple[int, ...]:
    if (
        isinstance(value, tuple | list)
        and len(value) <= MAX_DIMENSIONS
        and all(map(is_count, value))
    ):
        return tuple(value)
    raise NotAsPickledError("a tensor whose shape or strides are no sizes")


def _tensor(
    storage: object,
    first: object,
    size: object,
    stride: object,
    _requires_grad: object = None,
    _hooks: object = None,
    metadata: object = None,
) -> PickledTensor:
    if not isinstance(storage, Storage):
        return _without_data("has no data in the file")
    return _view(storage, storage.dtype, (first, size, stride), metadata)


def _typed_tensor(
    storage: object,
    first: object,
    size: object,
    stride: object,
    _requires_grad: object,
    _hooks: object,
    dtype: object,
    metadata: object = None,
) -> PickledTensor:
    """A tensor of a type that came after typed storages."""
    found = getattr(torch, dtype.text.removeprefix("torch."), None) if _names_dtype(dtype) else None
    if not isinstance(storage, Storage) or not isinstance(found, torch.dtype):
        return _without_data("has no data in the file")
    return _view(storage, found, (first, size, stride), metadata)


def _names_dtype(value: object) -> TypeGuard[Name]:
    return isinstance(value, Name) and value.text.startswith("torch.") and is_known(value.text)


def _view(
    storage: Storage,
    dtype: torch.dtype,
    place: tuple[object, object, object],
    metadata: object,
) -> PickledTensor:
    first, shape, stride = place[0], _counts(place[1]), _counts(place[2])
    if len(shape) != len(stride) or not is_count(first):
        raise NotAsPickledError("a tensor whose shape and strides don't belong together")
    marked = isinstance(metadata, dict) and (metadata.get("conj") or metadata.get("neg"))
    problem = "is not an ordinary dense tensor" if marked else None
    return PickledTensor(shape, dtype, storage, first, stride, problem)


def _parameter(data: object, *_others: object) -> object:
    return data if isinstance(data, PickledTensor) else _without_data("has no data in the file")


def _from_type(function: object, _type: object, arguments: object, _state: object) -> object:
    """A tensor with attributes of its own, which are dropped."""
    if not isinstance(function, Name) or not isinstance(arguments, tuple):
        raise TypeError
    return called(function, arguments) if function.text in _REBUILDS else Inert(function.text)


def _dictionary(entries: object = ()) -> dict[object, object]:
    if not isinstance(entries, list | tuple):
        return {}
    pairs = [pair for pair in entries if isinstance(pair, list | tuple) and len(pair) == 2]
    return {pair[0]: pair[1] for pair in pairs if is_key(pair[0])}


_REBUILDS: dict[str, Callable[..., object]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._utils._rebuild_meta_tensor_no_storage": lambda *_: _without_data(
        "has no data in the file"
    ),
}

_CALLS: dict[str, Callable[..., object]] = {
    **_REBUILDS,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch.Size": lambda sizes=(): sizes,
    "collections.OrderedDict": _dictionary,
}
