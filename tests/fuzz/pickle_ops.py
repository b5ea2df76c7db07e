"""Changes to pickles, opcode by opcode, and values that try what an unpickler lets them."""

import io
import pickle
import pickletools
import struct

TUPLE_DEPTH = 40
NUMBERS = (
    *(0, 1, -1, 2, 3, 4, 12, 13, 127, 255, 256, 1000, 65536, 2**20, 2**31 - 1, 2**31, 2**40),
    *(2**62, 2**63 - 1, 2**63, -(2**31), -(2**63), 10**30),
)
TEXTS = (
    *(
        "",
        "storage",
        "module",
        "cpu",
        "meta",
        "cuda:0",
        "cuda",
        "mps",
        "0",
        "1",
        "99",
        "../0",
        "get",
    ),
    *(
        "items",
        "keys",
        "state_dict",
        "model",
        "module",
        "linear.weight",
        "gamma",
        "norm.bias",
        "天",
    ),
    *(
        "model.gamma",
        "a" * 2000,
        "\0",
        "\ud800",
        "__class__",
        "_metadata",
        "shape",
        "stride",
        "idna",
    ),
    *("untyped_storage", "is_neg", "storage_offset", "data", "grad", "layout", "little", "utf-8"),
)
GLOBALS = (
    *(("tests.fuzz.canary", "touch"), ("tests.fuzz.canary", "Touched"), ("os", "system")),
    *(("posix", "system"), ("nt", "system"), ("builtins", "eval"), ("builtins", "exec")),
    *(("__builtin__", "getattr"), ("builtins", "__import__"), ("subprocess", "Popen"), ("", "")),
    *(("tests.fuzz.untouched", "touch"), ("torch.hub", "load"), ("numpy", "load"), ("sys", "exit")),
    *(("numpy", "dtype"), ("numpy.core.multiarray", "scalar")),
    ("numpy._core.multiarray", "scalar"),
    *(("collections", "OrderedDict"), ("collections", "Counter"), ("__builtin__", "set")),
    *(("__builtin__", "bytearray"), ("__builtin__", "complex"), ("_codecs", "encode")),
    *(("torch", "Size"), ("torch", "device"), ("torch", "Tensor"), ("torch", "FloatTensor")),
    *(("torch", "FloatStorage"), ("torch", "LongStorage"), ("torch", "QUInt8Storage")),
    *(("torch.storage", "UntypedStorage"), ("torch.storage", "TypedStorage"), ("torch", "float16")),
    *(("torch", "uint16"), ("torch", "per_tensor_affine"), ("torch.nn.parameter", "Parameter")),
    *(("torch._utils", "_rebuild_tensor"), ("torch._utils", "_rebuild_tensor_v2")),
    *(("torch._utils", "_rebuild_tensor_v3"), ("torch._utils", "_rebuild_parameter")),
    *(("torch._utils", "_rebuild_parameter_with_state"), ("torch._utils", "_rebuild_qtensor")),
    *(("torch._utils", "_rebuild_sparse_tensor"), ("torch._utils", "_rebuild_nested_tensor")),
    *(("torch._utils", "_rebuild_meta_tensor_no_storage"), ("torch.serialization", "_get_layout")),
    *(("torch._utils", "_rebuild_wrapper_subclass"), ("torch._tensor", "_rebuild_from_type_v2")),
    *(("torch._utils", "_rebuild_device_tensor_from_numpy"), ("torch", "SparseFloatTensor")),
    *(("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"), ("torch.cuda", "FloatStorage")),
)  # fmt: skip

NONE, TRUE, FALSE, NEW_TUPLE, NEW_DICT, NEW_LIST = b"N", b"\x88", b"\x89", b")", b"}", b"]"
REDUCE, NEWOBJ, BUILD, PERSISTENT = b"R", b"\x81", b"b", b"Q"


def text(value):
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def number(value):
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    data = pickle.encode_long(value)
    return b"\x8a" + bytes([len(data)]) + data


def named(module, name):
    return b"c" + f"{module}\n{name}\n".encode()


def several(*parts):
    return b"(" + b"".join(parts) + b"t"


def call(function, *arguments):
    return function + several(*arguments) + REDUCE


def filled(made, *pairs):
    """A dict, or an object with `__setitem__`, with keys and values."""
    return made + b"(" + b"".join(pairs) + b"u"


def storage(key, count, kind="FloatStorage", place="cpu"):
    parts = [text("storage"), named("torch", kind), text(key), text(place), number(count)]
    return several(*parts) + PERSISTENT


def tensor(stored, offset, shape, stride):
    sizes = (several(*map(number, values)) for values in (shape, stride))
    hooks = call(named("collections", "OrderedDict"))
    function = named("torch._utils", "_rebuild_tensor_v2")
    return call(function, stored, number(offset), *sizes, FALSE, hooks)


def nested_tuples(depth=TUPLE_DEPTH):
    """A tuple whose hash takes 2 ** depth steps: each holds the one before twice."""
    steps = b"".join(b"q" + bytes([200]) + b"h" + bytes([200]) + b"\x86" for _ in range(depth))
    return NEW_TUPLE + steps


def split(data):
    """The opcodes of one pickle with their arguments, and what follows it."""
    stream = io.BytesIO(data)
    places = [place for _, _, place in pickletools.genops(stream)]
    end = stream.tell()
    pieces = [data[a:b] for a, b in zip(places, [*places[1:], end], strict=True)]
    return pieces, data[end:]


def change(choices, pieces, values):
    """Change a pickle's opcodes in one to four places.

    Args:
        choices: a `Choices`.
        pieces: opcodes as `split` gives them, changed in place.
        values: a function of `Choices` that gives the opcodes of one value.
    """
    for _ in range(choices.between(1, 4)):
        choices.pick(_CHANGES)(choices, pieces, values)


def _of(pieces, codes):
    return [index for index, piece in enumerate(pieces) if piece[:1] in codes]


def _replace(choices, pieces, codes, make):
    found = _of(pieces, codes)
    if found:
        pieces[choices.pick(found)] = make()


def _change_number(choices, pieces, values):
    codes = (b"K", b"M", b"J", b"\x8a", b"G")
    _replace(choices, pieces, codes, lambda: number(choices.pick(NUMBERS)))


def _change_text(choices, pieces, values):
    _replace(choices, pieces, (b"X", b"\x8c"), lambda: text(choices.pick(TEXTS)))


def _change_global(choices, pieces, values):
    _replace(choices, pieces, (b"c", b"\x93"), lambda: named(*choices.pick(GLOBALS)))


def _change_value(choices, pieces, values):
    codes = (b"X", b"K", b"J", b"M", b"h", b"N", b")", b"}", b"]", b"\x89")
    _replace(choices, pieces, codes, lambda: values(choices))


def _add_entry(choices, pieces, values):
    """Put a value into one of the dicts, under a name or another value."""
    found = _of(pieces, (b"u",))
    if found:
        key = text(choices.pick(TEXTS)) if choices.chance(70) else values(choices)
        pieces.insert(choices.pick(found), key + values(choices))


def _delete(choices, pieces, values):
    if pieces:
        del pieces[choices.below(len(pieces))]


def _repeat(choices, pieces, values):
    if pieces:
        index = choices.below(len(pieces))
        pieces[index:index] = pieces[index : index + choices.between(1, 12)]


def _insert(choices, pieces, values):
    codes = (*b"(.0123ldsaeRbctpqrhjgNIQPS\x80\x81\x82\x85\x86\x87\x88\x8a\x8b\x8f\x90\x91\x92",)
    codes = [bytes([code]) for code in codes]
    pieces.insert(choices.below(len(pieces) + 1), choices.pick((*codes, b"\x93\x94", b"\x95" * 9)))


def _swap(choices, pieces, values):
    first, second = choices.below(len(pieces)), choices.below(len(pieces))
    if pieces:
        pieces[first], pieces[second] = pieces[second], pieces[first]


_CHANGES = (
    *(_add_entry, _change_number, _change_text, _change_value, _change_global, _add_entry),
    *(_delete, _repeat, _insert, _swap),
)
