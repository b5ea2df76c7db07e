"""Zip files written field by field, so that each field can say something else than the others."""

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass, field, replace

_LOCAL, _CENTRAL, _END = "<4s5H3I2H", "<4s6H3I5H2I", "<4s4H2IH"
SIZES = (0, 1, 2, 63, 64, 65535, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
_SHORTS = (0, 1, 8, 9, 12, 14, 20, 45, 93, 99, 0x800, 0xFFFF)
_NAMES = (
    *(b"archive/data.pkl", b"archive/data/0", b"data.pkl", b"../data.pkl", b"archive/byteorder"),
    *(b"archive/constants.pkl", b"archive/.format_version", b"archive/.storage_alignment", b""),
    *(b"archive/data/", b"/data.pkl", b"archive\\data.pkl", "天/data.pkl".encode()),
    b"\xff/data.pkl",
    *(b"a" * 65535, b"archive/data/../data/0", b"archive/version", b"archive/.data/0", b"\0"),
)  # fmt: skip
_EXTRAS = (
    *(
        b"",
        b"\1\0",
        b"FB\x0a\0" + b"Z" * 10,
        b"\1\0\x10\0" + b"\xff" * 16,
        b"\1\0\xff\xff",
        b"\0" * 300,
    ),
    *(b"\1\0\x08\0" + struct.pack("<Q", 2**63), b"up\x05\0\x01abcd", b"\1\0\x18\0" + b"\0" * 24),
)


@dataclass
class Record:
    """One record; fields of the two headers that differ from what is true."""

    name: bytes
    data: bytes
    extra: bytes = b""
    comment: bytes = b""
    local: dict = field(default_factory=dict)
    central: dict = field(default_factory=dict)
    local_name: bytes | None = None
    shift: int = 0


def records_of(data):
    """The records of a zip file, without what they lie between."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [Record(name.encode(), archive.read(name)) for name in archive.namelist()]


def pack(records, *, prefix=b"", end=None, comment=b"", suffix=b""):
    """Write a zip file.

    Args:
        records: in the order in which they lie.
        prefix: bytes before the first record.
        end: fields of the end record that differ from what is true.
        comment: of the whole file.
        suffix: bytes after the end record.
    """
    body, table = bytearray(prefix), bytearray()
    for record in records:
        place = len(body)
        name = record.name if record.local_name is None else record.local_name
        true = {
            "version": 20,
            "flags": 0x800,
            "method": 0,
            "time": 0,
            "date": 33,
            "crc": zlib.crc32(record.data),
            "packed": len(record.data),
            "size": len(record.data),
        }
        local = {**true, **record.local}
        values = (*local.values(), len(name) & 0xFFFF, len(record.extra) & 0xFFFF)
        body += struct.pack(_LOCAL, b"PK\3\4", *values) + name + record.extra + record.data
        central = {**true, **record.central}
        lengths = (len(record.name), len(record.extra), len(record.comment))
        offset = max(0, place + record.shift) & 0xFFFFFFFF
        table += struct.pack(_CENTRAL, b"PK\1\2", 20, *central.values(), *lengths, 0, 0, 0, offset)
        table += record.name + record.extra + record.comment
    true = {
        "disk": 0,
        "start": 0,
        "here": len(records),
        "all": len(records),
        "table": len(table),
        "offset": len(body),
        "comment": len(comment) & 0xFFFF,
    }
    values = {**true, **(end or {})}.values()
    return bytes(body + table + struct.pack(_END, b"PK\5\6", *values) + comment + suffix)


def changed(choices, records):
    """A zip file of records with one to three fields or records changed."""
    records = [replace(record, local={}, central={}) for record in records]
    options = {}
    for _ in range(choices.between(1, 3)):
        choices.pick(_CHANGES)(choices, records, options)
    return pack(records, **options)


def _change_header(choices, records, options):
    record = choices.pick(records)
    names = ("packed", "size", "crc", "flags", "method", "version")
    name = choices.pick(names)
    true = len(record.data)
    near = (true + 1, max(0, true - 1), 2 * true)
    value = choices.pick((*SIZES, *near) if name in names[:3] else _SHORTS)
    for header in choices.pick(
        ((record.central,), (record.local,), (record.local, record.central))
    ):
        header[name] = value
        if name == "packed" and choices.chance(50):
            header["size"] = value


def _change_name(choices, records, options):
    record = choices.pick(records)
    others = [other.name for other in records]
    name = choices.pick((*others, *_NAMES))
    if choices.chance(30):
        record.local_name = name
    else:
        record.name = name


def _change_place(choices, records, options):
    choices.pick(records).shift = choices.pick((-1, 1, -64, 64, 2**31, -(2**31), 30, -200))


def _change_extra(choices, records, options):
    record = choices.pick(records)
    if choices.chance(50):
        record.extra = choices.pick(_EXTRAS)
    else:
        record.comment = choices.pick((b"", b"PK\5\6" + b"\0" * 18, b"PK\1\2" * 12))


def _change_end(choices, records, options):
    name = choices.pick(("here", "all", "table", "offset", "comment", "disk", "start"))
    short = name not in ("table", "offset")
    end = options.setdefault("end", {})
    end[name] = choices.pick(_SHORTS if short else SIZES)


def _surround(choices, records, options):
    name = choices.pick(("prefix", "comment", "suffix"))
    options[name] = choices.pick((b"PK\3\4", b"\0" * 100, b"PK\5\6" + b"\0" * 18, b"x" * 70000))


def _repeat(choices, records, options):
    record = choices.pick(records)
    copy = replace(record, local={}, central={}, data=choices.pick((record.data, b"", b"\x80\2N.")))
    records.insert(choices.below(len(records) + 1), copy)


def _remove(choices, records, options):
    if len(records) > 1:
        del records[choices.below(len(records))]


def _resize(choices, records, options):
    record = choices.pick(records)
    record.data = choices.pick((b"", record.data[:-1], record.data * 2, b"\0" * 3, b"little", b"1"))


def _compress(choices, records, options):
    """A record that holds much in few bytes."""
    record = choices.pick(records)
    size = choices.pick((len(record.data), 2**16, 2**24))
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    plain = record.data if size == len(record.data) else b"\0" * size
    record.data = packer.compress(plain) + packer.flush()
    record.central |= {"method": 8, "size": size}
    record.local |= {"method": 8, "size": size}


_CHANGES = (
    *(_change_header, _change_name, _change_place, _change_extra, _change_end, _surround),
    *(_repeat, _remove, _resize, _compress),
)
