"""The machine that a pickle's instructions run on; it calls nothing that a pickle names."""

from __future__ import annotations

import struct
from typing import Any

from modelscope_vitadapter.checkpoint.pickled import (
    Inert,
    Name,
    NotAsPickledError,
    Storage,
    called,
    is_key,
    is_known,
    storage_of,
)

MAX_BYTES = 16 * 2**20
"""Bytes of a checkpoint's pickles; those of the hub's full-size model take 0.2 MB."""

MAX_OPCODES = 1_000_000
"""Instructions in a checkpoint's pickles: about 25,000 tensors."""

MAX_DIGITS = 40
"""Digits of a number that is written out."""

_MAX_INTEGER_BYTES = 16
_NAMES_LISTED = 100
_NAME_LENGTH = 200


class StackMachine:
    """The stack of pickle's language, and what its instructions do to it.

    Args:
        data: the bytes, of which at most `MAX_BYTES` are looked at.

    Attributes:
        position: first byte behind what was read.
        foreign: functions and classes that were named and that no checkpoint of weights needs;
            nothing was done with them.
        storages: the storages that tensors refer to, by their keys.
        stack: values above the last mark.
        marks: the parts of the stack below each mark.
        memo: values that are referred to by number.

    Its methods raise `NotAsPickledError`, `LookupError`, `ValueError`, `TypeError` or
    `struct.error` where the pickle is damaged.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data[:MAX_BYTES]
        self.cut = len(data) > MAX_BYTES
        self.left = MAX_OPCODES
        self.position = 0
        self.foreign: list[str] = []
        self.storages: dict[str, Storage] = {}
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def spend(self, units: int) -> None:
        """Pay for instructions and for elements that are looked at."""
        self.left -= units
        if self.left < 0:
            raise NotAsPickledError(f"more than {MAX_OPCODES} instructions")

    def ending(self) -> str:
        """What is wrong where the bytes end too early."""
        return f"more than {MAX_BYTES} bytes of pickles" if self.cut else "no end"

    # Taking bytes

    def take(self, count: int) -> bytes:
        """Take bytes; `position` moves behind them."""
        end = self.position + count
        if end > len(self.data):
            self.position = len(self.data)
            raise NotAsPickledError(self.ending())
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def take_number(self, layout: str) -> Any:
        """Take a number in a layout of `struct`."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def take_line(self) -> str:
        """Take text up to the end of its line."""
        end = self.data.find(b"\n", self.position)
        if end < 0:
            self.position = len(self.data)
            raise NotAsPickledError(self.ending())
        line = self.data[self.position : end]
        self.position = end + 1
        return line.decode("utf-8", "replace")

    # The stack

    def push(self, value: object) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def marked(self) -> list[Any]:
        """Take everything above the last mark."""
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def set_mark(self) -> None:
        """Begin a new part of the stack."""
        self.marks.append(self.stack)
        self.stack = []

    def make_tuple(self, count: int) -> None:
        """Make a tuple of the uppermost values."""
        if len(self.stack) < count:
            raise IndexError("a tuple of more values than there are")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    # Containers

    def add_to(self, items: list[Any]) -> None:
        """Append values to the list below them; an `Inert` takes anything."""
        holder = self.stack[-1]
        if isinstance(holder, list):
            holder.extend(items)
        elif not isinstance(holder, Inert):
            raise TypeError("values are appended to something that is no list")

    def put_in(self, items: list[Any]) -> None:
        """Put keys and values, in turn, into the dictionary below them."""
        holder = self.stack[-1]
        if isinstance(holder, dict):
            _fill(holder, items)
        elif not isinstance(holder, Inert):
            raise TypeError("entries are put into something that is no dictionary")

    def skip_set(self) -> None:
        """Push an `Inert` for a set of everything above the last mark."""
        self.marked()
        self.push(Inert("frozenset"))

    def put_one_in(self) -> None:
        """Put the uppermost value, under the key below it, into the dictionary below both."""
        value = self.stack.pop()
        key = self.stack.pop()
        self.put_in([key, value])

    def make_dict(self) -> None:
        """Make a dictionary of everything above the last mark."""
        made: dict[Any, Any] = {}
        _fill(made, self.marked())
        self.push(made)

    # Names and calls

    def named(self, module: str, name: str) -> None:
        """Push a name, and note it where no checkpoint of weights needs it."""
        # Cut before they are joined: one text of megabytes can be named a hundred thousand times.
        full = f"{module[:_NAME_LENGTH]}.{name[:_NAME_LENGTH]}"
        full = full.replace("__builtin__.", "builtins.", 1)[:_NAME_LENGTH]
        if not is_known(full) and len(self.foreign) < _NAMES_LISTED and full not in self.foreign:
            self.foreign.append(full)
        self.push(Name(full))

    def named_by_stack(self) -> None:
        """Push the name that the two uppermost texts give."""
        name = self.stack.pop()
        module = self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise TypeError("a name that is no text")
        self.named(module, name)

    def call_of(self, function: object, arguments: object) -> None:
        """Push what a call stands for."""
        if not isinstance(function, Name):
            raise TypeError("a call of something that has no name")
        if isinstance(arguments, tuple):
            self.spend(len(arguments))
            self.spend(sum(len(each) for each in arguments if isinstance(each, list | tuple)))
            self.push(called(function, arguments))
        else:
            self.push(Inert(function.text))

    def reduce(self) -> None:
        """Call what is below the uppermost value with it."""
        arguments = self.stack.pop()
        self.call_of(self.stack.pop(), arguments)

    def new_object(self) -> None:
        """As `reduce`, with keywords on top."""
        self.stack.pop()  # keywords
        self.reduce()

    def make_instance(self) -> None:
        """Call the class of the next two lines with everything above the last mark."""
        module, name = self.take_line(), self.take_line()
        arguments = tuple(self.marked())
        self.named(module, name)
        self.call_of(self.stack.pop(), arguments)

    def make_object(self) -> None:
        """Call the first value above the last mark with the others."""
        function, *arguments = self.marked()
        self.call_of(function, tuple(arguments))

    def drop_state(self) -> None:
        """Drop a state: what it would change (hooks, metadata, attributes) is not needed."""
        self.stack.pop()
        if not self.stack:
            raise IndexError("a state without an object")

    def refer_to(self, reference: object) -> None:
        """Push the storage that a persistent reference means."""
        storage = storage_of(reference)
        self.storages.setdefault(storage.key, storage)
        self.push(storage)

    # Numbers and text

    def decimal_number(self) -> None:
        """Push the whole number, or truth value, of the next line."""
        line = self.take_line().removesuffix("L")
        if line in ("00", "01"):
            self.push(line == "01")
        else:
            self.push(int(line) if len(line) <= MAX_DIGITS else Inert("long number"))

    def long_number(self, layout: str) -> None:
        """Push a whole number of a given number of bytes."""
        raw = self.take(self.take_number(layout))
        short = len(raw) <= _MAX_INTEGER_BYTES
        self.push(int.from_bytes(raw, "little", signed=True) if short else Inert("long number"))

    def take_text(self, layout: str) -> None:
        """Push text of a given number of bytes."""
        self.push(self.take(self.take_number(layout)).decode("utf-8", "replace"))

    def skip_bytes(self, layout: str) -> None:
        """Push an `Inert` for bytes, which nothing needs."""
        self.take(self.take_number(layout))
        self.push(Inert("bytes"))

    # References

    def remember(self, index: int) -> None:
        """Keep the uppermost value under a number."""
        if not 0 <= index < 2**32:
            raise ValueError("a reference out of range")
        self.memo[index] = self.stack[-1]

    def memo_index(self) -> int:
        """Take the number of a kept value from the next line."""
        line = self.take_line()
        return int(line) if len(line) <= MAX_DIGITS else -1

    def refuse(self) -> None:
        """Refuse an instruction for extension codes, text references or buffers."""
        raise ValueError("an instruction that no checkpoint holds")


def _fill(holder: dict[Any, Any], items: list[Any]) -> None:
    """Put keys and values, in turn, into a dictionary."""
    if len(items) % 2:
        raise ValueError("a key without a value")
    for index in range(0, len(items), 2):
        key = items[index]
        # The hash of a nested tuple can take for ever, those of long numbers can all be the same.
        if not is_key(key) and not (type(key) is int and abs(key) < 2**32):
            key = Inert(f"{type(key).__name__} as a key")
        holder[key] = items[index + 1]
