import contextlib
import pickle
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelscope_vitadapter.checkpoint.pickle_machine import MAX_BYTES, MAX_OPCODES
from modelscope_vitadapter.checkpoint.pickle_reader import PickleReader
from modelscope_vitadapter.checkpoint.pickled import Inert, Name, NotAsPickledError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**120), 2**120) | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner)
    | st.lists(inner).map(tuple)
    | st.dictionaries(st.text(st.characters(codec="utf-8")) | st.integers(-9, 9), inner),
    max_leaves=20,
)  # fmt: skip


@given(PLAIN, st.integers(2, 5))
def test_plain_values_are_read_as_python_reads_them(value, protocol):
    raw = pickle.dumps(value, protocol)
    reader = PickleReader(raw + b"what follows")
    assert reader.read() == value
    assert reader.position == len(raw)
    assert reader.foreign == []


def test_protocol_0():
    value = {"a": [1, -2, True, None, 1.5], "b": ("x", 10**30)}
    assert PickleReader(pickle.dumps(value, 0)).read() == value


@given(st.binary(max_size=60))
def test_any_bytes_end_in_a_value_or_in_one_error(raw):
    reader = PickleReader(b"\x80\x02" + raw)
    with contextlib.suppress(NotAsPickledError):
        reader.read()


@pytest.mark.parametrize(
    "value", [b"bytes", bytearray(b"x"), {1, 2}, frozenset("ab"), 1j, 10**400, range(3).__class__]
)
def test_values_that_nothing_needs_are_inert(value):
    assert isinstance(PickleReader(pickle.dumps([value], 4)).read()[0], Inert | Name)


def test_objects_that_are_shared_stay_so():
    inner = ["x"]
    first, second = PickleReader(pickle.dumps([inner, inner], 4)).read()
    assert first is second


def test_a_list_that_holds_itself():
    value = []
    value.append(value)
    found = PickleReader(pickle.dumps(value, 4)).read()
    assert found[0] is found


def test_only_text_and_small_numbers_stay_keys():
    found = PickleReader(pickle.dumps({"a": 1, 2: 3, (4, 5): 6, 2**61 - 1: 7, 2.5: 8}, 4)).read()
    assert found["a"] == 1
    assert found[2] == 3
    assert sum(isinstance(key, Inert) for key in found) == 3


def test_every_foreign_name_is_listed_once():
    names = [eval, exec, eval, print, len]
    reader = PickleReader(pickle.dumps(names, 4))
    assert reader.read() == [Name(f"builtins.{each.__name__}") for each in names]
    assert reader.foreign == [f"builtins.{name}" for name in ("eval", "exec", "print", "len")]


def test_a_call_makes_nothing():
    raw = b"c__builtin__\neval\n(X" + struct.pack("<I", 7) + b"1/0 + 1tR."
    reader = PickleReader(raw)
    assert isinstance(reader.read(), Inert)
    assert reader.foreign == ["builtins.eval"]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"N0" * MAX_OPCODES, "instructions"),
        (b"X" + struct.pack("<I", MAX_BYTES) + bytes(MAX_BYTES) + b".", "bytes of pickles"),
        (b"N", "no end"),
        (b"X\xff\xff\xff\xff", "no end"),
        (b"\xfe.", "unknown instruction"),
        (b"h\x01.", "unknown instruction or reference"),
        (b"0.", "pop from empty list"),
        (b"(.", "pop from empty list"),
        (b"K\x01\x86.", "more values than there are"),
        (b"K\x01)R.", "no name"),
        (b"}K\x01a.", "no list"),
        (b"]K\x01K\x01s.", "no dictionary"),
        (b"}(K\x01u.", "a key without a value"),
        (b"\x82\x01.", "no checkpoint holds"),
        (b"K\x01Q.", "no storage"),
        (b"K\x01K\x01\x93.", "no text"),
        (b"p-1\n.", "out of range"),
    ],
)
def test_damage_is_named(raw, said):
    with pytest.raises(NotAsPickledError, match=said):
        PickleReader(raw).read()


def test_copying_a_long_list_again_and_again_is_paid_for():
    raw = b"]q\x00(" + b"(NNt" * 50_000 + b"e" + b"0ccollections\nOrderedDict\nh\x00\x85R" * 40
    with pytest.raises(NotAsPickledError, match="instructions"):
        PickleReader(raw + b".").read()


def test_keys_whose_hash_takes_for_ever():
    towers = b")q\x000" + b"h\x00h\x00\x86q\x000" * 60
    found = PickleReader(towers + b"}h\x00Ns.").read()
    assert len(found) == 1


def wide(count, call, times):
    """A tuple that is made once and given to a function again and again."""
    return b"\x80\x02(" + b"N" * count + b"tq\x000cmodule\nfunction\nq\x010" + call * times + b"N."


@pytest.mark.parametrize("call", [b"h\x01h\x00R0", b"h\x01h\x00\x810", b"h\x01h\x00\x85R0"])
def test_arguments_are_paid_for_each_time(call):
    assert PickleReader(wide(1000, call, 100)).read() is None
    with pytest.raises(NotAsPickledError, match="instructions"):
        PickleReader(wide(10_000, call, 100)).read()


def text_of(length):
    return b"X" + struct.pack("<I", length) + b"a" * length


@pytest.mark.parametrize("length", [10_000, 10_001])
def test_long_text_is_no_key(length):
    (key,) = PickleReader(b"\x80\x02}" + text_of(length) + b"Ns.").read()
    assert isinstance(key, str) == (length == 10_000)
    ordered = b"ccollections\nOrderedDict\n(" + text_of(length) + b"N\x86t\x85R."
    assert len(PickleReader(b"\x80\x02" + ordered).read()) == (length == 10_000)
    storage = b"(\x8c\x07storagectorch\nFloatStorage\n" + text_of(length) + b"\x8c\x03cpuK\x04tQ."
    if length == 10_000:
        assert PickleReader(b"\x80\x02" + storage).read().count == 4
    else:
        with pytest.raises(NotAsPickledError, match="no storage"):
            PickleReader(b"\x80\x02" + storage).read()
