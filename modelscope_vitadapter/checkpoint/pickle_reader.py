"""Reads a pickle as data: an interpreter of pickle's stack language that calls nothing.

Python's unpickler calls what a pickle names. `torch.load(weights_only=True)` calls only what is on
a list, yet `bytearray(10**11)`, `_codecs.encode(data, 'hex')`, which doubles its argument each
time, and dictionary keys whose hash takes 2 ** 60 steps all pass it. Here a name stays a name: what
it would have made is looked up in a table of this package's own functions (`pickled`), and whatever
is not in the table becomes an `Inert`. Work and memory grow with the number of instructions, which
is bounded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from modelscope_vitadapter.checkpoint.pickle_machine import MAX_DIGITS, StackMachine
from modelscope_vitadapter.checkpoint.pickled import Inert, NotAsPickledError

_STOP = ord(".")


class PickleReader(StackMachine):
    """Reads the pickles that lie one after the other in some bytes; see `StackMachine`."""

    def read(self) -> Any:
        """Give the next object.

        Returns:
            What was pickled, made of None, bool, int, float, str, tuple, list, dict,
            `PickledTensor` and, for everything else, `Inert` and `Name`.

        Raises:
            NotAsPickledError: the pickle is damaged, cut short, or too long.
        """
        self.stack, self.marks, self.memo = [], [], {}
        try:
            while True:
                self.spend(1)
                if self.position >= len(self.data):
                    raise NotAsPickledError(self.ending())
                opcode = self.data[self.position]
                self.position += 1
                if opcode == _STOP:
                    return self.stack.pop()
                INSTRUCTIONS[opcode](self)
        except NotAsPickledError:
            raise
        except KeyError as error:
            raise NotAsPickledError(f"unknown instruction or reference {error}") from None
        except (LookupError, ValueError, TypeError, struct.error) as error:
            raise NotAsPickledError(str(error) or type(error).__name__) from None


_TABLE: dict[str, Callable[[StackMachine], object]] = {
    "\x80": lambda m: m.take(1),
    "\x95": lambda m: m.take(8),
    "(": StackMachine.set_mark,
    "0": lambda m: m.stack.pop() if m.stack else m.marked(),
    "1": StackMachine.marked,
    "2": lambda m: m.push(m.stack[-1]),
    "N": lambda m: m.push(None),
    "\x88": lambda m: m.push(True),
    "\x89": lambda m: m.push(False),
    "I": StackMachine.decimal_number,
    "L": StackMachine.decimal_number,
    "J": lambda m: m.push(m.take_number("<i")),
    "K": lambda m: m.push(m.take_number("<B")),
    "M": lambda m: m.push(m.take_number("<H")),
    "\x8a": lambda m: m.long_number("<B"),
    "\x8b": lambda m: m.long_number("<I"),
    "F": lambda m: m.push(float(m.take_line()[:MAX_DIGITS])),
    "G": lambda m: m.push(m.take_number(">d")),
    "S": lambda m: m.push(m.take_line().strip("'\"")),
    "V": lambda m: m.push(m.take_line()),
    "T": lambda m: m.take_text("<I"),
    "U": lambda m: m.take_text("<B"),
    "X": lambda m: m.take_text("<I"),
    "\x8c": lambda m: m.take_text("<B"),
    "\x8d": lambda m: m.take_text("<Q"),
    "B": lambda m: m.skip_bytes("<I"),
    "C": lambda m: m.skip_bytes("<B"),
    "\x8e": lambda m: m.skip_bytes("<Q"),
    "\x96": lambda m: m.skip_bytes("<Q"),
    ")": lambda m: m.push(()),
    "t": lambda m: m.push(tuple(m.marked())),
    "\x85": lambda m: m.make_tuple(1),
    "\x86": lambda m: m.make_tuple(2),
    "\x87": lambda m: m.make_tuple(3),
    "]": lambda m: m.push([]),
    "l": lambda m: m.push(m.marked()),
    "a": lambda m: m.add_to([m.stack.pop()]),
    "e": lambda m: m.add_to(m.marked()),
    "}": lambda m: m.push({}),
    "d": StackMachine.make_dict,
    "s": StackMachine.put_one_in,
    "u": lambda m: m.put_in(m.marked()),
    "\x8f": lambda m: m.push(Inert("set")),
    "\x90": lambda m: m.add_to(m.marked()),
    "\x91": StackMachine.skip_set,
    "g": lambda m: m.push(m.memo[m.memo_index()]),
    "h": lambda m: m.push(m.memo[m.take_number("<B")]),
    "j": lambda m: m.push(m.memo[m.take_number("<I")]),
    "p": lambda m: m.remember(m.memo_index()),
    "q": lambda m: m.remember(m.take_number("<B")),
    "r": lambda m: m.remember(m.take_number("<I")),
    "\x94": lambda m: m.remember(len(m.memo)),
    "c": lambda m: m.named(m.take_line(), m.take_line()),
    "\x93": StackMachine.named_by_stack,
    "R": StackMachine.reduce,
    "b": StackMachine.drop_state,
    "i": StackMachine.make_instance,
    "o": StackMachine.make_object,
    "\x81": StackMachine.reduce,
    "\x92": StackMachine.new_object,
    "Q": lambda m: m.refer_to(m.stack.pop()),
    # Extension codes, text references and buffers beside the pickle.
    **dict.fromkeys("\x82\x83\x84P\x97\x98", StackMachine.refuse),
}

INSTRUCTIONS = {ord(byte): instruction for byte, instruction in _TABLE.items()}
"""What each instruction does, by its byte; Python's `pickletools` describes them."""
