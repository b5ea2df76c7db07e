"""Zips that are no checkpoints or were made to cause trouble."""

import io
import struct
import zipfile

from tests.hostile.entries import tiny_state
from tests.hostile.pickles import dumped, repacked


def _saved():
    return bytearray(dumped({"state_dict": tiny_state()}))


def _directory_entry(content, name):
    """Where the table of contents describes a record."""
    place = content.index(name, content.index(b"PK\x01\x02")) - 46
    assert content[place : place + 4] == b"PK\x01\x02"
    return place


def _patched(at, layout, *values, name=b"/data/0"):
    """A checkpoint in which the table's entry of a record was changed."""

    def make():
        content = bytearray(repacked(_saved()))
        place = content.index(name, content.index(b"PK\x01\x02"))
        place = content.rindex(b"PK\x01\x02", 0, place)
        struct.pack_into(layout, content, place + at, *values)
        return bytes(content)

    return make


def _many_records(count):
    """A table of contents of as many empty records, all at the same place."""
    header = b"PK\x03\x04" + bytes(22) + struct.pack("<HH", 1, 0) + b"x"
    entry = b"PK\x01\x02" + bytes(24) + struct.pack("<H", 1) + bytes(16) + b"x"
    table = entry * count
    end = struct.pack(
        "<4s4xHHIIH", b"PK\x05\x06", count & 0xFFFF, count & 0xFFFF, len(table), len(header), 0
    )
    return header + table + end


def _table_of(size):
    """An end of a table that says how large the table is."""
    content = bytearray(repacked(_saved()))  # torch's own has a second, longer end
    place = content.rindex(b"PK\x05\x06")
    struct.pack_into("<II", content, place + 12, size, 0)
    return bytes(content)


def _bomb():
    """64 MiB of zeros, compressed."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("archive/data.pkl", "w") as record,
    ):
        for _ in range(64):
            record.write(bytes(2**20))
    return buffer.getvalue()


def _nested():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/inner.zip", bytes(_saved()))
    return buffer.getvalue()


def _zip_of(*records):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in records:
            archive.writestr(name, data)
    return buffer.getvalue()


def _without(ending):
    return repacked(bytes(_saved()), lambda name, data: None if name.endswith(ending) else data)


def _shortened(ending):
    return repacked(
        bytes(_saved()), lambda name, data: data[:-4] if name.endswith(ending) else data
    )


DAMAGED_ZIPS = {
    "compressed": (
        lambda: repacked(bytes(_saved()), compression=zipfile.ZIP_DEFLATED),
        "compressed",
    ),
    "a large compressed record": (_bomb, "compressed"),
    "many records": (lambda: _many_records(80_000), "twice|overlap|damaged"),
    "many more records": (lambda: _many_records(2_000_000), "table of contents|damaged"),
    "a large table of contents": (lambda: _table_of(2**32 - 2), "damaged"),
    "a negative table of contents": (lambda: _table_of(3), "damaged"),
    "a zip in a zip": (_nested, "no PyTorch checkpoint"),
    "no pickle": (lambda: _without("data.pkl"), "no PyTorch checkpoint"),
    "two pickles": (
        lambda: _zip_of(("a/data.pkl", b"."), ("b/data.pkl", b".")),
        "no PyTorch checkpoint",
    ),
    "an empty pickle": (lambda: _zip_of(("a/data.pkl", b"")), "cannot be read"),
    "an empty zip": (lambda: _zip_of(), "unknown format"),
    "constants beside the pickle": (
        lambda: _zip_of(("a/data.pkl", b"N."), ("a/constants.pkl", b"N.")),
        "TorchScript",
    ),
    "a missing record": (lambda: _without("/data/1"), "lacks the data|damaged"),
    "a record that is too short": (lambda: _shortened("/data/0"), "needs"),
    "big-endian": (
        lambda: repacked(
            bytes(_saved()), lambda name, data: b"big" if name.endswith("byteorder") else data
        ),
        "little-endian",
    ),
    "an encrypted record": (_patched(8, "<H", 1), "encrypted"),
    "a record beyond the file": (_patched(20, "<II", 2**31, 2**31), "claims"),
    "two sizes": (_patched(20, "<I", 5), "two different sizes"),
    "records that overlap": (_patched(20, "<II", 10**4, 10**4), "overlap|claims"),
    "a record at another's place": (_patched(42, "<I", 0), "overlap"),
    "a record that is none": (_patched(42, "<I", 7), "no record|damaged"),
    "a record far out": (_patched(42, "<I", 2**32 - 2), "damaged|cut short"),
    "a record twice": (
        lambda: repacked(
            bytes(_saved()), more=[("archive/data/0", b"x"), ("archive/data/0", b"x")]
        ),
        "twice",
    ),
}
"""What makes each, and words of its refusal."""
