"""Checkpoints as bytes: as `torch.save` writes them, packed again, or with other instructions.

Instructions are those of pickle's language; a value is a string of them that pushes it.
"""

import io
import pickletools
import struct
import zipfile

import torch

MARK = "the place of the instructions"
"""A text in a checkpoint that `with_instructions` replaces."""


def dumped(content, *, zipped=True, **options):
    """The bytes that `torch.save` writes."""
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped, **options)
    return buffer.getvalue()


def repacked(saved, change=lambda name, data: data, *, more=(), compression=zipfile.ZIP_STORED):
    """A zip with the records of another, changed; None leaves one out; `more` come behind."""
    result = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(saved)) as old,
        zipfile.ZipFile(result, "w", compression) as new,
    ):
        records = [(name, change(name, old.read(name))) for name in old.namelist()]
        for name, data in (*records, *more):
            if data is not None:
                new.writestr(name, data)
    return result.getvalue()


def with_pickle(saved, change):
    """A zip checkpoint whose pickle is changed."""
    return repacked(saved, lambda name, data: change(data) if name.endswith(".pkl") else data)


def with_instructions(content, instructions, *, zipped=True):
    """A checkpoint in which instructions stand in place of the text `MARK`."""
    saved, wanted = dumped(content, zipped=zipped), text(MARK)
    if zipped:
        return with_pickle(saved, lambda data: data.replace(wanted, instructions))
    assert saved.count(wanted) == 1
    return saved.replace(wanted, instructions)


def pickled(instructions):
    """A zip checkpoint whose pickle is nothing but some instructions."""
    saved = dumped({"a": torch.zeros(4)})
    return with_pickle(saved, lambda _: b"\x80\x02" + instructions + b".")


def split(data):
    """The instructions of one pickle, each with its argument, and what follows it."""
    stream = io.BytesIO(data)
    places = [place for _, _, place in pickletools.genops(stream)]
    end = stream.tell()
    return [data[a:b] for a, b in zip(places, [*places[1:], end], strict=True)], data[end:]


def text(value):
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value):
    raw = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def named(module, name):
    """A function or class."""
    return f"c{module}\n{name}\n".encode()


def call(module, name, *arguments):
    """What a call gives."""
    return named(module, name) + b"(" + b"".join(arguments) + b"tR"


def tensor(size, stride, *, first=0, count=4, key="0", kind="FloatStorage"):
    """A tensor as torch pickles it."""
    parts = (text("storage"), named("torch", kind), text(key), text("cpu"), number(count))
    storage = b"(" + b"".join(parts) + b"tQ"
    sizes, strides = (b"(" + b"".join(map(number, each)) + b"t" for each in (size, stride))
    hooks = call("collections", "OrderedDict")
    arguments = (storage, number(first), sizes, strides, b"\x89", hooks)
    return call("torch._utils", "_rebuild_tensor_v2", *arguments)
