"""Changes to safetensors files: the header's entries, its text, and its length."""

import json

from tests.fuzz.bytes_mutation import mutate

_TYPES = (
    *(
        "F32",
        "I64",
        "F16",
        "BF16",
        "F64",
        "BOOL",
        "U8",
        "I8",
        "I16",
        "I32",
        "U64",
        "F8_E4M3",
        "C64",
    ),
    *("", "f32", "天", None, 3, ["F32"], {}),
)
_NUMBERS = (
    *(0, 1, -1, 2, 3, 4, 12, 48, 2**31, 2**32, 2**53, 2**63, 2**64, 10**30, 1.0, 1e400, "1", None),
    *(True, [], float("nan")),
)
_NAMES = (
    *(
        "linear.weight",
        "__metadata__",
        "model.linear.weight",
        "",
        "extra",
        "\ud800",
        "a" * 5000,
        "天",
    ),
    *("\0", "gamma", "auxiliary_head.x"),
)
_HEADERS = (
    b"[]",
    b"{}",
    b"null",
    b"1",
    b"",
    b"{",
    b'"a"',
    b"\xff",
    b'{"a": NaN}',
    b"{} " + b" " * 99,
)
_PIECES = (
    *(
        b'"dtype":',
        b'"F32"',
        b'"shape":[',
        b'"data_offsets":[',
        b"]",
        b"}",
        b"{",
        b",",
        b":",
        b"1e9",
    ),
    *(b'"__metadata__":{', b"\\u0000", b"\\ud800", b"-1", b"9" * 30, b"NaN", b"[" * 30, b'{"a":'),
)


def split(data):
    """The header, as a dictionary, and the data of a safetensors file."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def join(header, data, length=None):
    """A safetensors file of a header's bytes and the data after it."""
    length = len(header) if length is None else length
    return (length % 2**64).to_bytes(8, "little") + header + data


def changed(choices, data):
    """A safetensors file with some fields changed."""
    header, values = split(data)
    kind = choices.below(10)
    if kind == 9:
        return join(choices.pick(_HEADERS), values)
    if kind == 8:
        deep = choices.pick((40, 900, 5000, 100000))
        opening, closing = choices.pick(((b"[", b"]"), (b'{"a":', b"}"), (b"[", b"")))
        return join(b'{"a":' + opening * deep + b"1" + closing * deep + b"}", values)
    for _ in range(choices.between(1, 3)):
        values = choices.pick(_CHANGES)(choices, header, values)
    text = json.dumps(header, ensure_ascii=choices.chance(50)).encode("utf-8", "surrogatepass")
    if kind == 7:
        text = mutate(choices, text, _PIECES)
    if kind == 6:
        text = text[:-1] + b", " + text[1:]  # every name twice
    if kind == 5:
        wrong = choices.pick((0, 1, len(text) - 1, len(text) + 1, 2**27, 2**31, 2**63, 2**64 - 1))
        return join(text, values, wrong)
    return join(text, values)


def _entry(choices, header):
    if not header:
        header["a"] = {}
    name = choices.pick(sorted(header))
    if not isinstance(header[name], dict):
        header[name] = {}
    return header[name]


def _change_type(choices, header, values):
    _entry(choices, header)["dtype"] = choices.pick(_TYPES)
    return values


def _change_shape(choices, header, values):
    entry = _entry(choices, header)
    shape = list(entry.get("shape") or [])
    kind = choices.below(4)
    if kind == 0 and shape:
        shape[choices.below(len(shape))] = choices.pick(_NUMBERS)
    elif kind == 1:
        shape = [choices.pick(_NUMBERS) for _ in range(choices.below(4))]
    elif kind == 2:
        shape = choices.pick(([1] * 70, [1] * 5000, [2**31] * 3, [0, 2**63], {}, "12", None, 12))
    else:
        shape.reverse()
    entry["shape"] = shape
    return values


def _change_offsets(choices, header, values):
    entry = _entry(choices, header)
    offsets = list(entry.get("data_offsets") or [0, 0])
    kind = choices.below(4)
    if kind == 0:
        offsets[choices.below(len(offsets))] = choices.pick(_NUMBERS)
    elif kind == 1:
        offsets = [choices.pick(_NUMBERS) for _ in range(choices.below(4))]
    elif kind == 2:
        offsets = list(_entry(choices, header).get("data_offsets") or [])
    else:
        offsets = choices.pick((offsets[::-1], None, "01", {"0": 1}))
    entry["data_offsets"] = offsets
    return values


def _change_names(choices, header, values):
    names = sorted(header)
    kind = choices.below(4)
    if kind == 0 and names:
        header[choices.pick(_NAMES)] = header.pop(choices.pick(names))
    elif kind == 1 and names:
        del header[choices.pick(names)]
    elif kind == 2:
        header["__metadata__"] = choices.pick(({"format": "pt"}, {"a": 1}, [], None, "x"))
    else:
        header[choices.pick(_NAMES)] = choices.pick(({}, [], None, {"dtype": "F32"}, 1, "F32"))
    return values


def _change_data(choices, header, values):
    return choices.pick((values[:-1], values + b"\0", b"", values * 2, values[: len(values) // 2]))


_CHANGES = (_change_type, _change_shape, _change_offsets, _change_names, _change_data)
