"""Files that are damaged or made to do harm: each is refused, or loads; nothing of them runs.

A refusal names the file and says why. Neither takes more memory than a small checkpoint may.
"""

import functools
import io
import json
import struct
import warnings
import zipfile

import pytest
import torch
from safetensors.torch import save

from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.errors import CheckpointError
from tests.support.canary import nothing_runs
from tests.support.peak import peak, reset_peak
from tests.support.small_checkpoints import assert_loaded, make_network, make_state
from tests.support.torch_bytes import (
    MARK,
    call,
    dumped,
    named,
    number,
    pickled,
    repacked,
    split,
    tensor,
    text,
    with_instructions,
)

STATE = make_state()
SAVED = dumped(STATE)
WEIGHT = "backbone.linear.weight"
LOADS = None
"""In place of words of a refusal: the file loads, as if what is odd were not there."""

MEMORY = 300 * 2**20
"""Bytes by which a file lets the process grow at most."""


def patched(at, layout, *values):
    """A zip in whose table of contents the entry of a record was changed."""
    content = bytearray(repacked(SAVED))
    place = content.index(b"/data/0", content.index(b"PK\x01\x02"))
    struct.pack_into(layout, content, content.rindex(b"PK\x01\x02", 0, place) + at, *values)
    return bytes(content)


def zip_of(*names):
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")  # about names that are there twice
        for name in names:
            archive.writestr(name, b"N.")
    return buffer.getvalue()


def many_records(count):
    """A table of contents of as many empty records, all at the same place."""
    header = b"PK\x03\x04" + bytes(22) + struct.pack("<HH", 1, 0) + b"x"
    table = (b"PK\x01\x02" + bytes(24) + struct.pack("<H", 1) + bytes(16) + b"x") * count
    sizes = (count & 0xFFFF, count & 0xFFFF, len(table), len(header), 0)
    return header + table + struct.pack("<4s4xHHIIH", b"PK\x05\x06", *sizes)


def without(ending):
    return repacked(SAVED, lambda name, data: None if name.endswith(ending) else data)


APART = "isn't whole, or isn't apart"
ZIPS = {
    "compressed": (lambda: repacked(SAVED, compression=zipfile.ZIP_DEFLATED), "compressed"),
    "encrypted": (lambda: patched(8, "<H", 1), "encrypted"),
    "two sizes": (lambda: patched(20, "<I", 5), APART),
    "beyond the file": (lambda: patched(20, "<II", 2**31, 2**31), APART),
    "overlapping": (lambda: patched(20, "<II", 500, 500), APART),
    "no header there": (lambda: SAVED[:4] + SAVED[4:].replace(b"PK\3\4", b"PK\3\5"), APART),
    "a name twice": (lambda: zip_of("a/data.pkl", "a/data.pkl"), APART),
    "a large table": (lambda: many_records(2_000_000), "table of contents"),
    "two pickles": (lambda: zip_of("a/data.pkl", "b/data.pkl"), "no PyTorch checkpoint"),
    "no data": (lambda: without("/data/1"), "lacks the data of tensor"),
    "big-endian": (
        lambda: repacked(SAVED, lambda name, data: b"big" if "byteorder" in name else data),
        "little-endian",
    ),
}

BAIT = call("tests.support.canary", "bait")
RUNS = "nothing ran"
CODE = {
    "a call": (BAIT, rf"canary\.bait.*{RUNS}"),
    "a name alone": (named("tests.support.canary", "Bait"), rf"Bait.*{RUNS}"),
    "an instance": (named("tests.support.canary", "Bait") + b")\x81}b", rf"Bait.*{RUNS}"),
    "a program": (call("posix", "system", text("touch bait")), rf"posix\.system.*{RUNS}"),
    "eval of Python 2": (call("__builtin__", "eval", text("1")), rf"builtins\.eval.*{RUNS}"),
    "a spaced name": (call("os system", "x y"), rf"os\.system\.x\.y.*{RUNS}"),
    "an old instruction": (b"(itests.support.canary\nbait\n", "Unsupported operand"),
    "protocol 4": (text("os") + text("system") + b"\x93)R", "protocol 4, expected 2"),
    "a tensor's type": (
        call("torch._tensor", "_rebuild_from_type_v2", named("os", "getcwd"), b"N", b")", b"N"),
        rf"os\.getcwd.*{RUNS}",
    ),
    "a reference": (b"(" + text("module") + BAIT + b"tQ", RUNS),
}

TOWER = b")q\x00" + b"h\x00h\x00\x86q\x00" * 60
"""(), then 60 times (t, t): its hash takes 2 ** 60 steps."""

HEX = call("_codecs", "encode", b"h\x01", text("hex")) + b"q\x01"
LONG = b"X" + struct.pack("<I", 3 * 10**6) + b"a" * 3 * 10**6
VALUES = {
    "a hundred gigabytes": (call("builtins", "bytearray", number(10**11)), LOADS),
    "bytes that double": (b"(" + text("x" * 100) + b"q\x01" + HEX * 40 + b"t", LOADS),
    "a hash that takes for ever": (b"](" + TOWER + b"e}h\x00Ns\x86", LOADS),
    "a hash that ends the process": (b"})" + b"\x85" * 900_000 + b"Ns", "tuples in each"),
    "a tuple for many calls": (
        b"((" + b"N" * 10**4 + b"tq\x00" + call("torch", "Size", b"h\x00") * 10**4 + b"t", LOADS,
    ),
    "a list copied many times": (
        b"(]q\x00(" + b"NN\x86" * 10**4 + b"e" + named("collections", "OrderedDict") + b"q\x01"
        + b"h\x01h\x00\x85R" * 10**4 + b"t",
        "0 positional arguments",
    ),
    "keys of megabytes": (
        b"}(" + LONG + b"q\x00N" + LONG + b"q\x01N" + b"h\x00Nh\x01N" * 10**5 + b"u", LOADS,
    ),
    "keys of one hash": (
        b"}(" + b"".join(number((2**61 - 1) * i) + b"N" for i in range(1, 30_000)) + b"u", LOADS,
    ),
    "a million instructions": (b"(" + b"N" * 10**6 + b"t", "more than 1000000 instructions"),
    "17 MB": (text("x" * 17 * 2**20), "cannot be read"),
    "a deep list": (b"]" * 10**5 + b"a" * (10**5 - 1), LOADS),
    "no such reference": (b"h\xf7", "cannot be read"),
}  # fmt: skip

TENSORS = {
    "negative": (tensor([-4], [1]), "no sizes"),
    "backwards": (tensor([4], [-1]), "no sizes"),
    "of 65 dimensions": (tensor([1] * 65, [1] * 65), "no sizes"),
    "without strides": (tensor([4], []), "belong together"),
    "of a negative storage": (tensor([4], [1], count=-1), "no storage"),
    "larger than its record": (tensor([4, 3], [10**9, 1]), "lacks the data"),
    "that repeats one number": (tensor([10**6, 10**6], [0, 0]), "has shape"),
    "of complex numbers": (tensor([4, 3], [3, 1], kind="ComplexFloatStorage"), "complex64"),
    "quantised": (call("torch._utils", "_rebuild_qtensor", text("x")), "ordinary dense"),
}

CONTENTS = {
    "one tensor": (torch.zeros(3), "no tensors by name but StoredTensor"),
    "no tensors": ({"state_dict": {"a": 1}, "b": 2}, "no tensors by name.*'state_dict', 'b'"),
    "numbers for names": ({1: torch.zeros(1)}, "no tensors by name"),
}


def packed(header, data=b"", length=None):
    """A safetensors file."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(raw) if length is None else length).to_bytes(8, "little") + raw + data


def entry(begin, end, shape=(1,)):
    return {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}


SAFETENSORS = {
    "a gigabyte": (lambda: packed(b"{}", length=2**30), "a header of 1073741824 bytes"),
    "deep": (lambda: packed(b'{"a":' + b"[" * 10**6), "damaged or cut short"),
    "overlapping": (lambda: packed({"a": entry(0, 4), "b": entry(0, 4)}, bytes(4)), "damaged"),
    "a terabyte": (lambda: packed({"a": entry(0, 4 * 10**12, [10**12])}, bytes(8)), "damaged"),
    "a long name": (lambda: packed({"module." * 10**6: entry(0, 4)}, bytes(4)), "missing"),
    "text after it": (lambda: save(STATE) + b"text", "damaged"),
}

OLD = dumped(STATE, zipped=False)
LITTLE = text("little_endian") + b"q\x02\x88"
MAGIC = OLD[: OLD.index(b"M\xe9\x03.") + 4]
AFTER_MACHINE = split(OLD[len(MAGIC) :])[1]
NO_GET = b"\x80\x02" + call("collections", "OrderedDict") + b"}" + text("get") + b"Nsb."
TWELVE, THIRTEEN = struct.pack("<q", 12), struct.pack("<q", 13)
FILES = {
    "empty": (lambda: b"", "is empty"),
    "text": (lambda: b"weights", "unknown format .*'weights'"),
    "a web page": (lambda: b"\n <html>404", "web page"),
    "a git-lfs pointer": (lambda: b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "a pickle": (lambda: b"\x80\x02" + BAIT + b".", "is a pickle, but none of torch"),
    "another protocol": (
        lambda: repacked(SAVED, lambda name, data: data.replace(b"\x80\x02", b"\x80\x04", 1)),
        "pickle_protocol=4, expected 2",
    ),
    "old, big-endian": (lambda: OLD.replace(LITTLE, LITTLE[:-1] + b"\x89"), "little-endian"),
    "old, another size": (lambda: OLD.replace(TWELVE, THIRTEEN, 1), "not what tensors need"),
    "old, a machine without `get`": (lambda: MAGIC + NO_GET + AFTER_MACHINE, LOADS),
    "old, no storages": (lambda: OLD[: OLD.rindex(b"]q\x00(")] + b"N.", "no list of names"),
}


BESIDE, KEY = {"state_dict": STATE, "meta": [MARK]}, {"state_dict": STATE, "meta": {MARK: 0}}
INSIDE = {
    "code": (CODE, BESIDE),
    "key": ({"a call": CODE["a call"]}, KEY),
    "value": (VALUES, BESIDE),
    "tensor": (TENSORS, STATE | {WEIGHT: MARK}),
}
"""Tables of instructions, and the content in which they stand."""


def cases():
    for table, entries in (("zip", ZIPS), ("safetensors", SAFETENSORS), ("file", FILES)):
        for name, (make, words) in entries.items():
            yield pytest.param(make, words, id=f"{table} {name}")
    for name, (content, words) in CONTENTS.items():
        yield pytest.param(functools.partial(dumped, content), words, id=f"content {name}")
    for table, (entries, content) in INSIDE.items():
        for number_of, (name, (instructions, words)) in enumerate(entries.items()):
            zipped = number_of % 2 == 0 or table in ("value", "tensor")
            make = functools.partial(with_instructions, content, instructions, zipped=zipped)
            yield pytest.param(make, words, id=f"{table} {name}")
    yield pytest.param(lambda: pickled(BAIT), RUNS, id="nothing but a call")


@pytest.mark.parametrize(("make", "words"), list(cases()))
def test_refused_or_loaded_and_nothing_runs(written, make, words):
    path = written(make())
    network = make_network()
    before = reset_peak()
    with nothing_runs():
        if words is LOADS:
            load_into(network, path)
        else:
            with pytest.raises(CheckpointError, match=words) as caught:
                load_into(network, path)
            assert str(path) in str(caught.value)
            assert len(str(caught.value).encode()) < 20_000
    if before is not None:
        assert peak() - before < MEMORY
    if words is LOADS:
        assert_loaded(network, STATE)


@pytest.mark.parametrize("instructions", [BAIT, CODE["an instance"][0]])
def test_a_bait_would_be_noticed(instructions):
    import pickle

    with pytest.raises(AssertionError, match=r"bait|Bait"), nothing_runs():
        pickle.loads(b"\x80\x02" + instructions + b".")
