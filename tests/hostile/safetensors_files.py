"""Files in the safetensors format that are refused."""

import json

from safetensors.torch import save

from tests.hostile.entries import Entry, tiny_state
from tests.hostile.states import WEIGHT, as_safetensors


def _safetensors():
    def packed(header, data=b"", length=None):
        raw = header if isinstance(header, bytes) else json.dumps(header).encode()
        size = len(raw) if length is None else length
        return size.to_bytes(8, "little") + raw + data

    def entry(begin, end, shape, dtype="F32"):
        return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}

    digits = b"9" * 4000
    files = {
        "a header of exabytes": (packed(b"{", length=2**60), "unknown format|claims|cut short"),
        "a header of a gigabyte": (packed(b"{", length=2**30), "claims"),
        "a header that is cut": (packed(b"{", length=10**6), "cut short"),
        "no JSON": (packed(b"{]"), "no valid JSON"),
        "deep JSON": (packed(b'{"a":' + b"[" * 10**6), "no valid JSON"),
        "JSON of many lists": (
            packed(b'{"a":[' + b"[]," * (2_700_000) + b"[]]}"),
            "lacks a valid type",
        ),
        "JSON of many dictionaries": (
            packed(b'{"a":[' + b'{"":0},' * 1_100_000 + b"{}]}"),
            "lacks a valid type",
        ),
        "names twice": (packed(b'{"a": 1, "a": 2}'), "twice"),
        "sizes of a thousand digits": (
            packed(
                b'{"a":{"dtype":"F32","shape":[' + (digits + b",") * 1500 + b"1],"
                b'"data_offsets":[0,4]}}',
                bytes(4),
            ),
            "lacks a valid",
        ),
        "a terabyte": (packed({"a": entry(0, 4 * 10**12, [10**12])}, bytes(8)), "are there"),
        "overlapping": (packed({"a": entry(0, 4, [1]), "b": entry(0, 4, [1])}, bytes(4)), "overl"),
        "a gap": (packed({"a": entry(4, 8, [1])}, bytes(8)), "gap"),
        "backwards": (packed({"a": entry(4, 0, [0])}, bytes(4)), "has -4|overlap"),
        "an unknown type": (packed({WEIGHT: entry(0, 4, [1], "F4")}, bytes(4)), "F4"),
        "a long unknown type": (packed({WEIGHT: entry(0, 4, [1], "F" * 10**6)}, bytes(4)), "FF"),
        "names that are all prefixes": (
            packed({"module." * 10**6 + "a": entry(0, 4, [1])}, bytes(4)),
            "missing",
        ),
        "sizes that do not fit": (packed({"a": entry(0, 8, [1])}, bytes(8)), "has 8 bytes"),
        "text after it": (save(tiny_state()) + b"open('canary', 'w')", "are there"),
    }
    for name, (content, words) in files.items():
        heavy = len(content) > 10**6
        yield Entry(
            f"safetensors: {name}", as_safetensors(content), "CheckpointError", words, heavy=heavy
        )


ENTRIES = list(_safetensors())
