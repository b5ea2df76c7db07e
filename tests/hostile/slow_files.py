"""Small files whose reading would take minutes where a step of it walked through all of them anew.

Each made the reader take half a minute or more before its work was counted.
"""

import struct

from tests.hostile.entries import Entry
from tests.hostile.pickles import named, pickled, text, written

REFUSED = "CheckpointError"


MANY = 240_000


def _text_twice(length):
    """Instructions that keep two equal texts under the numbers 0 and 1."""
    raw = b"X" + struct.pack("<I", length) + b"a" * length
    return raw + b"q\x000" + raw + b"q\x010"


def _storage(key):
    return b"(" + text("storage") + named("torch", "FloatStorage") + key + text("cpu") + b"K\x04t"


NONES = b"(" + b"N" * 300_000 + b"tq\x000"

REFUSED_PICKLES = {
    "one tuple given to many calls": (
        NONES + named("module", "function") + b"q\x010" + b"h\x01h\x00R0" * 170_000 + b"N",
        "module.function",
    ),
    "one tuple given to many constructors": (
        NONES + named("torch", "Size") + b"q\x010" + b"h\x01h\x00\x810" * 170_000 + b"N",
        "instructions|other arguments",
    ),
    "a long name many times": (
        _text_twice(7_500_000) + b"h\x00h\x01\x930" * MANY + b"N",
        "nothing ran",
    ),
    "a long key many times": (
        _text_twice(7_500_000) + b"}h\x00Ns" + b"h\x01Ns" * (MANY + 80_000),
        "no tensors by name",
    ),
    "long keys of an ordered dictionary": (
        _text_twice(7_500_000)
        + named("collections", "OrderedDict")
        + b"(h\x00N\x86"
        + b"h\x01N\x86" * MANY
        + b"t\x85R",
        "instructions|no tensors by name",
    ),
    "storages of long names": (
        _text_twice(7_500_000)
        + _storage(b"h\x00")
        + b"Q0"
        + _storage(b"h\x01")
        + b"q\x020"
        + b"h\x02Q0" * MANY
        + b"N",
        "no storage",
    ),
}
"""Pickles that are refused."""


def _entries():
    for name, (instructions, words) in REFUSED_PICKLES.items():
        make = written(lambda d, i=instructions: pickled(i))
        yield Entry(f"slow pickle: {name}", make, REFUSED, words, heavy=True)


ENTRIES = list(_entries())
