"""Checkpoints with instructions of one's choice in their pickles, and zips packed anew."""

import io
import pickle
import struct
import zipfile

import torch

from tests.hostile.entries import CANARY, CANARY_MODULE, CHECKPOINT, tiny_state

MARK = "the place of the instructions"


def text(value):
    """Instructions that push a text."""
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value):
    """Instructions that push a whole number."""
    raw = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def named(module, name):
    """Instructions that push a function or class."""
    return f"c{module}\n{name}\n".encode()


def call(module, name, *arguments):
    """Instructions that push what a call gives; arguments are instructions."""
    return named(module, name) + b"(" + b"".join(arguments) + b"tR"


def touch(directory):
    """Instructions that make the canary, if they are followed."""
    return call("builtins", "open", text(str(directory / CANARY)), text("w"))


def dumped(content, *, zipped=True, **options):
    """The bytes that `torch.save` writes."""
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped, **options)
    return buffer.getvalue()


def repacked(content, change=lambda name, data: data, *, more=(), compression=zipfile.ZIP_STORED):
    """A zip with the records of another, changed; None leaves one out; `more` come behind."""
    result = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(result, "w", compression) as new,
    ):
        for name in old.namelist():
            data = change(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
        for name, data in more:
            new.writestr(name, data)
    return result.getvalue()


def with_instructions(content, instructions, *, zipped=True):
    """A checkpoint in which instructions stand in place of the text `MARK`."""
    wanted = text(MARK)

    def change(name, data):
        if not name.endswith("data.pkl"):
            return data
        assert data.count(wanted) == 1
        return data.replace(wanted, instructions)

    saved = dumped(content, zipped=zipped)
    if zipped:
        return repacked(saved, change)
    assert saved.count(wanted) == 1
    return saved.replace(wanted, instructions)


def pickled(instructions):
    """A zip checkpoint whose pickle is nothing but some instructions."""
    return repacked(
        dumped(tiny_state()),
        lambda name, data: b"\x80\x02" + instructions + b"." if name.endswith(".pkl") else data,
    )


def described(size, stride, *, first=0, count=4, key="0", kind="FloatStorage"):
    """Instructions that push a tensor as torch pickles it."""
    storage = [text("storage"), named("torch", kind), text(key), text("cpu"), number(count)]
    sizes = b"(" + b"".join(map(number, size)) + b"t"
    strides = b"(" + b"".join(map(number, stride)) + b"t"
    return call(
        "torch._utils",
        "_rebuild_tensor_v2",
        b"(" + b"".join(storage) + b"tQ",
        number(first),
        sizes,
        strides,
        b"\x89",
        call("collections", "OrderedDict"),
    )


def written(make_content):
    """A `make` of an entry that writes a checkpoint; `make_content` is given the directory."""

    def make(directory):
        (directory / CHECKPOINT).write_bytes(make_content(directory))

    return make


CALLS = {
    "open": lambda d: touch(d),
    "io.open": lambda d: call("io", "open", text(str(d / CANARY)), text("w")),
    "os.system": lambda d: call("os", "system", text(f"touch '{d / CANARY}'")),
    "posix.system": lambda d: call("posix", "system", text(f"touch '{d / CANARY}'")),
    "eval": lambda d: call("builtins", "eval", text(f"open({str(d / CANARY)!r}, 'w')")),
    "exec": lambda d: call("builtins", "exec", text(f"open({str(d / CANARY)!r}, 'w')")),
    "Python 2's eval": lambda d: call("__builtin__", "eval", text("__import__('canary_module')")),
    "subprocess": lambda d: call("subprocess", "Popen", text(f"touch '{d / CANARY}'")),
    "pathlib": lambda d: call("pathlib", "Path.touch", text(str(d / CANARY))),
    "getattr": lambda d: call("builtins", "getattr", named("os", "system"), text("__call__")),
    "import_module": lambda d: call("importlib", "import_module", text(CANARY_MODULE)),
    "a module of the directory": lambda d: call(CANARY_MODULE, "run"),
    "a name only": lambda d: named(CANARY_MODULE, "run"),
    "torch.load": lambda d: call("torch.serialization", "load", text(str(d / CHECKPOINT))),
    "torch's own unpickling": lambda d: call("torch.storage", "_load_from_bytes", text("x")),
    "torch.hub": lambda d: call("torch.hub", "load", text(str(d)), text("run")),
    "numpy.load": lambda d: call("numpy", "load", text(str(d / "x.npy"))),
    "numpy's arrays": lambda d: call("numpy._core.multiarray", "_reconstruct"),
    "functools.partial": lambda d: call("functools", "partial", named("os", "getcwd")),
    "methodcaller": lambda d: call("operator", "methodcaller", text("touch")),
    "a code object": lambda d: call("types", "CodeType"),
    "copyreg": lambda d: call("copyreg", "_reconstructor", named("builtins", "object")),
    "a later protocol's name": lambda d: (
        text("os") + text("system") + b"\x93(" + text(f"touch '{d / CANARY}'") + b"tR"
    ),
    "a name with dots": lambda d: text("os.path") + text("os.system") + b"\x93",
    "INST": lambda d: b"(" + text(f"touch '{d / CANARY}'") + b"ios\nsystem\n",
    "OBJ": lambda d: b"(" + named("os", "system") + text(f"touch '{d / CANARY}'") + b"o",
    "NEWOBJ": lambda d: named("subprocess", "Popen") + b"(" + text("touch x") + b"t\x81",
    "NEWOBJ_EX": lambda d: named("subprocess", "Popen") + b")}\x92",
    "a state that is set": lambda d: call(CANARY_MODULE, "run") + b"}b",
    "a state of a harmless object": lambda d: (
        call("collections", "OrderedDict") + b"}" + text("x") + touch(d) + b"sb"
    ),
    "the type of a tensor": lambda d: call(
        "torch._tensor",
        "_rebuild_from_type_v2",
        named("os", "system"),
        named(CANARY_MODULE, "run"),
        b"(" + text(f"touch '{d / CANARY}'") + b"t",
        b"N",
    ),
    "a subclass of tensors": lambda d: call(
        "torch._utils", "_rebuild_wrapper_subclass", named(CANARY_MODULE, "run")
    ),
    "the result of a call": lambda d: touch(d) + b"(" + text("x") + b"tR",
    "a reference": lambda d: touch(d) + b"q\xf00h\xf0",
    "a persistent reference": lambda d: b"(" + text("module") + touch(d) + b"tQ",
}
"""Instructions that run code where they are followed, given the directory."""

PLACES = {
    "top": lambda: MARK,
    "nested value": lambda: {"state_dict": {**tiny_state(), "x": [{"y": (MARK,)}]}},
    "key": lambda: {"state_dict": tiny_state(), "meta": {MARK: 0}},
    "beside": lambda: {"state_dict": tiny_state(), "optimizer": MARK},
    "first": lambda: {"meta": MARK, **tiny_state()},
}
"""Where the text `MARK` stands in a checkpoint."""


def plain_pickle(instructions, protocol=2):
    """A file that is a pickle and nothing else."""
    return b"\x80" + bytes([protocol]) + instructions + b"."


assert pickle.loads(plain_pickle(b"(" + text("a") + number(-300) + b"t")) == ("a", -300)
