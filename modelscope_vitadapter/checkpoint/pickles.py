"""What a checkpoint's pickle says, read by PyTorch's weights-only unpickler.

That unpickler calls what a pickle names, if it is on a list. Some of that list take any amount of
memory or time (`bytearray(10**11)`, `_codecs.encode(data, 'hex')` again and again). So the names in
a pickle are replaced before: functions that make tensors by ones that describe them, plain values
(sets, numpy's numbers) by `LeftOut`. Any other name is refused. Nothing that a file names is ever
called.

`torch.load` under FakeTensorMode describes tensors too, in 4.2 s for the full-size model against
0.15 s here; of a zip that was packed again it says wrong places.
"""

from __future__ import annotations

import io
import pickletools
import re
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple, TypeGuard

import torch
from torch._weights_only_unpickler import Unpickler
from torch.serialization import StorageType, add_safe_globals

from modelscope_vitadapter.checkpoint.stored import DTYPES, Checkpoint, StoredTensor
from modelscope_vitadapter.validation import listing, shorten

MAX_BYTES = 16 * 2**20  # of a checkpoint's pickles; those of the full-size model take 0.2 MB
MAX_INSTRUCTIONS = 1_000_000  # of a pickle: about 25,000 tensors
MAX_NESTED = 100  # tuples in each other; the hash of very deep ones would end the process
LONGEST_TEXT = 10_000  # characters that are kept; equal texts of megabytes take long to compare
_LARGEST = 2**62
_MAX_DIMENSIONS = 64  # PyTorch's


class Storage(NamedTuple):
    """A run of `length` elements beside the pickle that tensors are views of."""

    key: str
    dtype: torch.dtype
    length: int


class Pickled(NamedTuple):
    """What a pickle holds, the storages that it refers to by their keys, and where it ends.

    Beside plain values and containers the content has `StoredTensor`, its position counted from its
    storage's begin, and `LeftOut`.
    """

    content: object
    storages: dict[str, Storage]
    end: int


class LeftOut:
    """Stands for a value, and forgets what a pickle makes it of; every two differ."""

    def __new__(cls, *_arguments: object) -> LeftOut:
        """Takes anything."""
        return super().__new__(cls)

    def __setstate__(self, _state: object) -> None:
        pass


def ordered_dict() -> OrderedDict[object, object]:
    """Unlike the class itself it copies nothing, however often a pickle asks for it."""
    return OrderedDict()


def dense_tensor(
    storage: object, first: object, shape: object, stride: object, *others: object
) -> StoredTensor:
    """A view of a storage; its `first` element, shape and stride are counted in elements."""
    conjugated_or_negated = any(others[2:])  # behind what training needs
    if not isinstance(storage, Storage) or conjugated_or_negated:
        return other_tensor()
    if not (_is_count(first) and _are_counts(shape) and _are_counts(stride)):
        raise ValueError("a tensor whose place, shape or stride are no sizes")
    if len(shape) != len(stride):
        raise ValueError("a tensor whose shape and stride don't belong together")
    dtype = storage.dtype
    problem = None if dtype in DTYPES.values() else f"is of type {dtype}"
    return StoredTensor(shape, dtype, first * dtype.itemsize, stride, problem, storage.key)


def parameter(data: object, *_others: object) -> StoredTensor:
    """The tensor of a parameter."""
    return data if isinstance(data, StoredTensor) else other_tensor()


def other_tensor(*_arguments: object) -> StoredTensor:
    """A sparse, quantised, nested, ... tensor, or one without data."""
    return StoredTensor(problem="is not an ordinary dense tensor")


_STAND_INS: dict[str, Callable[..., object]] = {
    r"collections\.OrderedDict": ordered_dict,
    r"torch\._utils\._rebuild_tensor(_v2)?": dense_tensor,
    r"torch\._utils\._rebuild_parameter(_with_state)?": parameter,
    r"torch\.(_utils|_tensor)\._rebuild_\w+": other_tensor,
    r"torch(\.cuda|\.sparse)?\.\w*Tensor|torch\.nn\.parameter\.Parameter": other_tensor,
    r"torch\.(Size|device|per_\w+)|torch\.serialization\._get_layout": LeftOut,
    r"collections\.Counter|builtins\.(set|frozenset|bytearray|complex)|_codecs\.encode": LeftOut,
    # mmcv stores numpy's numbers and arrays under `meta`.
    r"numpy\.(dtype|ndarray|bool_?|(u?int|float)\d+)": LeftOut,
    r"numpy\._?core\.multiarray\.(scalar|_reconstruct)": LeftOut,
}
"""What takes the place of a name, `module.name`; the first that matches."""

_TYPES = re.compile(r"torch(?:\.cuda)?\.(\w+Storage|(?:b?float|u?int|complex|qu?int)\d\w*|bool)")
"""Names of types, which the unpickler knows; none can be called."""


def read_pickle(file: Checkpoint, data: bytes, start: int) -> Pickled:
    """Read the pickle that begins at byte `start` of `data`.

    Raises `CheckpointError` where it asks for other functions or classes than weights need, is
    damaged, cut short, too long, or of another protocol than 2.
    """
    if data[start : start + 1] == b"\x80" and data[start + 1 : start + 2] > b"\x02":
        problem = f"was saved with pickle_protocol={data[start + 1]}, expected 2, torch.save's own"
        raise file.error(problem, "Save its state_dict() again without that option")
    try:
        harmless, foreign, end = _with_stand_ins(data[:MAX_BYTES], start)
        if not foreign:
            # Under this package's names, so they may stay on the list, which all threads share.
            add_safe_globals(list(_STAND_INS.values()))
            unpickler = _Unpickler(io.BytesIO(harmless), encoding="utf-8")
            content = unpickler.load()  # type: ignore[no-untyped-call]
            return Pickled(content, unpickler.storages, end)
    except Exception as error:  # damaged bytes can make the unpickler raise anything
        reason = shorten(f"{type(error).__name__}: {error}")
        raise file.damaged(f"it cannot be read as PyTorch weights ({reason})") from error
    raise file.error(
        f"asks for Python code to be run: {listing(foreign)}. It was refused and nothing ran; "
        "expected tensors, containers, plain values and numpy's numbers and arrays only",
        "Save the model's state_dict() alone, from a program that you trust",
    )


def _with_stand_ins(data: bytes, start: int) -> tuple[bytes, list[str], int]:
    """Give a pickle with other names in it, those that have no stand-in, and where it ends."""
    stream = io.BytesIO(data)
    stream.seek(start)
    foreign, pieces, depths = dict[str, None](), list[bytes](), list[int]()
    begin: int | None = start
    new: bytes | None = None
    for count, (instruction, argument, position) in enumerate(pickletools.genops(stream)):
        if count == MAX_INSTRUCTIONS:
            raise ValueError(f"more than {MAX_INSTRUCTIONS} instructions")
        _follow(depths, instruction)
        pieces.append(data[begin:position] if new is None else new)
        begin = position
        new = _replacement(instruction, argument)
        if instruction.name == "GLOBAL" and new is None:
            foreign[_full_name(str(argument))] = None
    pieces.append(data[begin : stream.tell()] if new is None else new)
    return b"".join(pieces), list(foreign), stream.tell()


def _follow(depths: list[int], instruction: pickletools.OpcodeInfo) -> None:
    """Keep how deep the tuples on an unpickler's stack are; marks are -1, other values 0."""
    count = len(instruction.stack_before)
    if pickletools.markobject in instruction.stack_before:
        above = next(i for i, depth in enumerate(reversed(depths)) if depth == -1)
        count = instruction.stack_before.index(pickletools.markobject) + above + 1
    taken = [depths.pop() for _ in range(count)]
    deepest = max(taken, default=0)
    if deepest > MAX_NESTED:
        raise ValueError(f"more than {MAX_NESTED} tuples in each other")
    of_kind = {pickletools.markobject: -1, pickletools.pytuple: max(deepest, 0) + 1}
    depths += [of_kind.get(kind, 0) for kind in instruction.stack_after]


def _full_name(argument: str) -> str:
    return argument.replace(" ", ".").replace("__builtin__.", "builtins.", 1)


def _replacement(instruction: pickletools.OpcodeInfo, argument: Any) -> bytes | None:
    """What stands for an instruction; None where it stays, or must not be followed."""
    if instruction.name == "PROTO":
        return b"\x80\x02"
    if instruction.proto > 2:
        raise ValueError(f"an instruction of pickle protocol {instruction.proto}, expected 2")
    if instruction.name == "GLOBAL":
        name = _full_name(argument).replace("torch.storage.Untyped", "torch.Byte")
        kept = _TYPES.fullmatch(name)
        if kept:
            return f"ctorch\n{kept[1]}\n".encode()
        found = (one for pattern, one in _STAND_INS.items() if re.fullmatch(pattern, name))
        stand_in = next(found, None)
        return stand_in and f"c{stand_in.__module__}\n{stand_in.__qualname__}\n".encode()
    if isinstance(argument, str) and (len(argument) > LONGEST_TEXT or not argument.isascii()):
        text = argument[:LONGEST_TEXT].encode("utf-8", "replace")
        return b"X" + struct.pack("<I", len(text)) + text
    if instruction.name == "LONG1" and abs(argument) > _LARGEST:
        return b"N"  # the hashes of such numbers can all be the same
    return None


class _Unpickler(Unpickler):
    """PyTorch's, to which data beside the pickle is a `Storage`."""

    def __init__(self, file: io.BytesIO, *, encoding: str) -> None:
        super().__init__(file, encoding=encoding)
        self.memo = _Memo()
        self.storages: dict[str, Storage] = {}

    def persistent_load(self, pid: object) -> Storage:
        """Read a reference to data: `('storage', type, key, location, number of elements)`."""
        if isinstance(pid, tuple) and len(pid) in (5, 6):
            _, kind, key, _, length, *view = pid
            known = isinstance(kind, StorageType) and isinstance(key, str)
            if known and _is_count(length) and view in ([], [None]):
                storage = Storage(key, kind.dtype, length)
                self.storages.setdefault(key, storage)
                return storage
        raise ValueError("a reference that is no storage")


class _Memo(dict[int, Any]):
    """Values that a pickle can use again; of tuples only short ones of no tuples, as shapes are.

    One that holds the one before twice, and so on, has 2 ** 60 parts after 60 instructions; so many
    steps does its hash take. A long one takes time each time it is handed to a function.
    """

    def __getitem__(self, index: int) -> Any:
        value = super().__getitem__(index)
        is_tuple = isinstance(value, tuple)
        if is_tuple and (len(value) > _MAX_DIMENSIONS or any(isinstance(v, tuple) for v in value)):
            return LeftOut()
        return value


def _is_count(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number that a size or a place in a file can be."""
    return type(value) is int and 0 <= value < _LARGEST


def _are_counts(value: object) -> TypeGuard[tuple[int, ...]]:
    return isinstance(value, tuple) and len(value) <= _MAX_DIMENSIONS and all(map(_is_count, value))
