"""Checkpoints as `torch.save` writes them since 1.6: a zip of one pickle and a record per storage.

Only the pickle and the table of contents are read at first. They say where in the file each
tensor's data is, so that nothing that they declare takes memory.
"""

from __future__ import annotations

import io
import itertools
import os
import struct
import zipfile
from pathlib import Path

from modelscope_vitadapter.checkpoint.container import find_state_dict, read_pickle
from modelscope_vitadapter.checkpoint.pickle_machine import MAX_BYTES
from modelscope_vitadapter.checkpoint.pickle_reader import PickleReader
from modelscope_vitadapter.checkpoint.stored import ByteFile, FileSource, Record, place_tensor
from modelscope_vitadapter.errors import CheckpointError

MAX_DIRECTORY_BYTES = 4 * 2**20
"""Bytes of the zip's table of contents: some 40,000 records as torch names them."""

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ENCRYPTED = 1
_SHOWN = 100


class _BoundedFile(io.FileIO):
    """A file that refuses to be read in larger pieces than a table of contents may have."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise ValueError(f"it would take {size} bytes, at most {MAX_DIRECTORY_BYTES} are read")
        return super().read(-1 if size is None else size) or b""


def open_torch_zip(path: Path) -> FileSource:
    """Open a checkpoint in torch's zip format.

    Args:
        path: the file.

    Returns:
        Its tensors; their data is read one by one when asked for.

    Raises:
        CheckpointError: the file is damaged, cut short, compressed, no checkpoint, or asks for
            code to be run.
    """
    file = ByteFile(path)
    try:
        records = _read_records(file)
        root = _archive_root(records, path)
        _check_byte_order(file, records, root)
        return _describe(file, records, root)
    except BaseException:
        file.close()
        raise


def _describe(file: ByteFile, records: dict[str, Record], root: str) -> FileSource:
    pickled = records[f"{root}/data.pkl"]
    size = min(pickled.size, MAX_BYTES + 1)
    reader = PickleReader(file.read_bytes(pickled.start, size, "the record 'data.pkl'"))
    tensors, others = find_state_dict(read_pickle(reader, file.path), file.path)
    prefix = f"{root}/data/"
    data = {
        name[len(prefix) :]: record for name, record in records.items() if name.startswith(prefix)
    }
    described = {
        name: place_tensor(name, tensor, data, file.path) for name, tensor in tensors.items()
    }
    return FileSource(file, described, others)


def _read_records(file: ByteFile) -> dict[str, Record]:
    """List the records of the zip; all must be stored as they are, inside the file."""
    records: dict[str, Record] = {}
    try:
        with _BoundedFile(os.dup(file.fileno()), "rb") as raw, zipfile.ZipFile(raw) as archive:
            infos = archive.infolist()
    except Exception as error:  # a damaged directory can raise any error
        raise CheckpointError(
            f"The checkpoint '{file.path}' begins as a zip file but has no readable table of "
            f"contents ({error}); it is cut short or damaged. Download or copy it again."
        ) from error
    ends: list[tuple[int, int, str]] = []
    for info in infos:
        name = info.filename[:_SHOWN]
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & _ENCRYPTED:
            raise CheckpointError(
                f"The record '{name}' of the checkpoint '{file.path}' is compressed or "
                "encrypted; expected records stored as they are, as torch.save writes them. "
                "Don't re-pack the file."
            )
        if info.filename in records or info.compress_size != info.file_size:
            raise CheckpointError(
                f"The record '{name}' of the checkpoint '{file.path}' is there twice or "
                "has two different sizes; the file is damaged. Download or copy it again."
            )
        start = _data_start(file, info)
        if start + info.file_size > file.size:
            raise CheckpointError(
                f"The record '{name}' of the checkpoint '{file.path}' claims "
                f"{info.file_size} bytes at byte {start}, the file has {file.size}; it is cut "
                "short or damaged. Download or copy it again."
            )
        records[info.filename] = Record(start, info.file_size)
        ends.append((info.header_offset, start + info.file_size, name))
    _check_overlaps(ends, file.path)
    return records


def _check_overlaps(ends: list[tuple[int, int, str]], path: Path) -> None:
    """Refuse records of which one begins (header included) before another ends."""
    for (_, end, name), (begin, _, other) in itertools.pairwise(sorted(ends)):
        if begin < end:
            raise CheckpointError(
                f"The records '{name}' and '{other}' of the checkpoint '{path}' overlap; the file "
                "is damaged. Download or copy it again."
            )


def _data_start(file: ByteFile, info: zipfile.ZipInfo) -> int:
    """Find a record's data: it follows a header of variable length."""
    what = f"the header of record '{info.filename[:_SHOWN]}'"
    header = file.read_bytes(info.header_offset, _LOCAL_HEADER.size, what)
    magic, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    if magic != b"PK\x03\x04":
        raise CheckpointError(
            f"The checkpoint '{file.path}' has no record where its table of contents places "
            f"'{info.filename[:_SHOWN]}'; it is damaged. Download or copy it again."
        )
    return int(info.header_offset + _LOCAL_HEADER.size + name_length + extra_length)


def _archive_root(records: dict[str, Record], path: Path) -> str:
    """Name the folder inside the zip that holds `data.pkl`."""
    roots = [name[: -len("/data.pkl")] for name in records if name.endswith("/data.pkl")]
    if any(f"{root}/constants.pkl" in records for root in roots):
        raise CheckpointError(
            f"'{path}' is a TorchScript program; expected a checkpoint of weights. Save the "
            "model's state_dict() with torch.save."
        )
    if len(roots) != 1:
        raise CheckpointError(
            f"'{path}' is a zip file but no PyTorch checkpoint: it holds {len(roots)} records "
            "'data.pkl', expected one. Save the model's state_dict() with torch.save."
        )
    return roots[0]


def _check_byte_order(file: ByteFile, records: dict[str, Record], root: str) -> None:
    record = records.get(f"{root}/byteorder")
    if record is None:
        return
    order = file.read_bytes(record.start, min(record.size, 16), "the byte order")
    if order != b"little":
        raise CheckpointError(
            f"The checkpoint '{file.path}' was written with byte order {order!r}; expected "
            "'little'. Save it again on a little-endian machine."
        )
