"""Checkpoints that are refused: code, damage, bombs, tensors that no network takes."""

import io
import itertools
import tarfile

import torch
from safetensors.torch import save

from tests.hostile.entries import CHECKPOINT, Entry, tiny_state
from tests.hostile.pickles import (
    CALLS,
    MARK,
    PLACES,
    call,
    described,
    dumped,
    pickled,
    plain_pickle,
    text,
    touch,
    with_instructions,
    written,
)
from tests.hostile.states import WEIGHT, replaced
from tests.hostile.zips import DAMAGED_ZIPS

REFUSED = "CheckpointError"


def _refused_contents():
    state = tiny_state()
    return {
        "one tensor": (torch.zeros(3), "holds one Tensor"),
        "a list": ([state], "holds one list"),
        "nothing": ({}, "no tensors by name"),
        "no tensors": ({"state_dict": {"a": 1}, "b": 2}, "no tensors by name.*'state_dict'"),
        "missing entries": ({WEIGHT: state[WEIGHT]}, "entries are missing"),
        "another shape": (replaced(lambda t: t[:3]), rf"{WEIGHT}' has shape"),
        "another number of dimensions": (replaced(lambda t: t[None]), "has shape"),
        "complex weights": (replaced(lambda t: t.to(torch.complex64)), "complex64"),
        "whole numbers": (replaced(lambda t: t.to(torch.int64)), "int64"),
        "truth values": (replaced(lambda t: t > 0), "torch.bool"),
        "sparse weights": (replaced(lambda t: t.to_sparse()), "ordinary dense"),
        "weights without data": (replaced(lambda t: t.to("meta")), "no data"),
        "conjugated weights": (replaced(lambda t: torch.complex(t, t).conj().imag), "dense"),
        "weights that are numbers": (replaced(lambda t: 3), "is missing"),
        "weights that are lists": (replaced(lambda t: t.tolist()), "is missing"),
        "a constant spread over another shape": (
            replaced(lambda t: t[:1, :1].expand(10**6, 10**6)),
            "has shape",
        ),
        "one name twice": (state | {f"module.{WEIGHT}": state[WEIGHT]}, "both stand for"),
    }


def _refused():
    for name, (content, words) in _refused_contents().items():
        for kind in ("zip", "old"):
            make = written(lambda d, c=content, z=kind == "zip": dumped(c, zipped=z))
            yield Entry(f"{kind}: {name}", make, REFUSED, words)
    for number, (name, instructions) in enumerate(CALLS.items()):
        places = list(PLACES) if name in ("open", "a module of the directory") else []
        places = places or [list(PLACES)[number % len(PLACES)], list(PLACES)[(number + 2) % 5]]
        for zipped, place in zip(itertools.cycle([True, False]), places, strict=False):
            make = written(
                lambda d, c=PLACES[place], i=instructions, z=zipped: with_instructions(
                    c(), i(d), zipped=z
                )
            )
            kind = "zip" if zipped else "old"
            yield Entry(f"code: {name}, {place}, {kind}", make, REFUSED, "nothing ran|damaged")
    for protocol in range(6):
        make = written(lambda d, p=protocol: plain_pickle(touch(d), p))
        yield Entry(f"code: a plain pickle of protocol {protocol}", make, REFUSED, "open.*nothing")
    yield from _refused_files()
    yield from _damaged_pickles()
    for name, (make_content, words) in DAMAGED_ZIPS.items():
        make = written(lambda d, m=make_content: m())
        yield Entry(f"zip: {name}", make, REFUSED, words, heavy="many" in name or "large" in name)


def _refused_files():
    saved = {
        "zip": dumped(tiny_state()),
        "old": dumped(tiny_state(), zipped=False),
        "safetensors": save(tiny_state()),
    }
    for kind, content in saved.items():
        size = len(content)
        for left in (1, 3, 9, 100, 600, 5000, size // 2, size - 5000, size - 100, size - 22, -1):
            name = f"{kind} cut at {left}"
            yield Entry(name, written(lambda d, c=content[:left]: c), REFUSED, CHECKPOINT)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("\x80storages"))
    files = {
        "empty": (b"", "is empty"),
        "text": (b"weights", "text file"),
        "a web page": (b"<html>404", "web page"),
        "a git-lfs pointer": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs"),
        "null bytes": (bytes(10**6), "unknown format"),
        "gzip": (b"\x1f\x8b\x08\x00" + bytes(100), "unknown format"),
        "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "unknown format"),
        "a program": (b"\x7fELF" + bytes(100), "unknown format"),
        "a tar": (tar.getvalue(), "unknown format|not a checkpoint"),
        "Python": (b"open('canary', 'w')", "text file"),
        "half a magic number": (b"PK\x03", "unknown format"),
        "an empty pickle": (b"\x80\x02.", "not a checkpoint"),
        "a pickle of None": (b"\x80\x02N.", "not a checkpoint"),
        "a magic number": (saved["old"][:20], "not a checkpoint|cut short"),
        "another version": (saved["old"].replace(b"M\xe9\x03.", b"M\xe8\x03.", 1), "not a check"),
        "big-endian": (
            saved["old"].replace(
                text("little_endian") + b"q\x02\x88", text("little_endian") + b"q\x02\x89", 1
            ),
            "little-endian",
        ),
    }
    for name, (content, words) in files.items():
        yield Entry(f"file: {name}", written(lambda d, c=content: c), REFUSED, words)


def _damaged_pickles():
    huge = b"\xff" * 8
    damaged = {
        "a million instructions": (b"N0" * 600_000 + b"N", "instructions"),
        "a million sets": (b"\x8f" * 1_100_000, "instructions"),
        "17 MB of pickle": (text("x" * 17 * 2**20), "bytes of pickles"),
        "a list of pairs made again and again": (
            b"]q\x00("
            + b"(NNt" * 50_000
            + b"e"
            + b"0ccollections\nOrderedDict\nh\x00\x85R" * 40_000,
            "instructions",
        ),
        "text of two gigabytes": (b"X\xff\xff\xff\x7f", "damaged"),
        "text of exabytes": (b"\x8d" + huge, "damaged"),
        "bytes of exabytes": (b"\x8e" + huge, "damaged"),
        "a number of two gigabytes": (b"\x8b\xff\xff\xff\x7f", "damaged"),
        "a tensor of negative size": (described([-4], [1]), "damaged"),
        "a tensor of negative stride": (described([4], [-1]), "damaged"),
        "a tensor of 65 dimensions": (described([1] * 65, [1] * 65), "damaged"),
        "sizes without strides": (described([4], []), "damaged"),
        "a size that no machine has": (described([2**64], [1]), "damaged"),
        "a storage of negative size": (described([4], [1], count=-1), "damaged"),
        "a storage of unknown type": (described([4], [1], kind="ObjectStorage"), "damaged"),
        "an unknown instruction": (b"\xfe", "damaged"),
        "an empty stack": (b"0", "damaged"),
        "an extension code": (b"\x82\x01", "damaged"),
        "a reference to nothing": (b"h\x07", "damaged"),
        "a text reference": (b"Pstorage\n", "damaged"),
        "a call of a number": (b"K\x01(tR", "damaged"),
        "a tensor of three arguments": (call("torch._utils", "_rebuild_tensor", b"NNN"), "damaged"),
        "text that is no UTF-8": (b"X\x02\x00\x00\x00\xff\xfe", "holds one str"),
        "an odd dictionary": (b"}(Nu", "damaged"),
        "no stop": (b"N" * 100, "damaged|holds one"),
    }
    for name, (instructions, words) in damaged.items():
        make = written(lambda d, i=instructions: pickled(i))
        yield Entry(f"pickle: {name}", make, REFUSED, words, heavy=len(instructions) > 10**5)
    own = {
        "a tensor beyond its record": (described([32, 16], [10**9, 1]), "needs|spread"),
        "a tensor that begins far out": (described([32, 16], [16, 1], first=10**15), "needs"),
        "a tensor of a terabyte": (described([10**12], [1], count=10**12), "has shape|needs"),
        "a tensor of a record that is gone": (described([32, 16], [16, 1], key="x"), "lacks"),
        "a tensor of complex numbers": (
            described([32, 16], [16, 1], kind="ComplexFloatStorage"),
            "complex|needs",
        ),
        "a quantized tensor": (call("torch._utils", "_rebuild_qtensor", text("x")), "dense"),
        "a tensor of sparse rows": (
            call("torch._utils", "_rebuild_sparse_csr_tensor", text("x")),
            "dense",
        ),
        "a tensor of torch's first releases": (call("torch", "FloatTensor"), "dense"),
        "a tensor that is a set": (b"\x8f", "is missing"),
    }
    for name, (instructions, words) in own.items():
        make = written(lambda d, i=instructions: with_instructions(replaced(lambda t: MARK), i))
        yield Entry(f"weight: {name}", make, REFUSED, words)


ENTRIES = list(_refused())
