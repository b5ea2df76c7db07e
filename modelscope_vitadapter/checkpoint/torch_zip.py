"""Checkpoints as `torch.save` writes them since 1.6: a zip of one pickle and a record per storage.

The names, shapes and places of the tensors are read without their data. torch gets a stand-in
for the file, a small zip in memory with the same pickle and with empty records of the same names,
loads it onto the meta device and notes on each storage which record it comes from
(`_checkpoint_offset`, which torch documents in its notes on serialization). So the file itself is
parsed in one place only, here, and torch takes no memory for anything that it declares.
"""

from __future__ import annotations

import contextlib
import functools
import io
import struct
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch

from modelscope_vitadapter.checkpoint.container import find_state_dict
from modelscope_vitadapter.checkpoint.stored import (
    ByteFile,
    FileSource,
    StoredTensor,
    TensorSource,
    extent,
)
from modelscope_vitadapter.checkpoint.torch_whole import open_torch_whole
from modelscope_vitadapter.checkpoint.weights_only import load_weights_only
from modelscope_vitadapter.errors import CheckpointError

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ENCRYPTED = 1
_PICKLE_NAME = "archive/data.pkl"


@dataclass(frozen=True)
class _Record:
    """One record of the zip: first byte and number of bytes of its data."""

    start: int
    size: int


def open_torch_zip(path: Path) -> TensorSource:
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
        mode = layout_mode()
        if mode is None:
            file.close()
            return open_torch_whole(path)
        with mode():
            return _describe(file, records, root)
    except BaseException:
        file.close()
        raise


def _describe(file: ByteFile, records: dict[str, _Record], root: str) -> FileSource:
    stand_in, by_offset = _stand_in(file, records, root)
    content = load_weights_only(
        stand_in,
        file.path,
        map_location="meta",
        pickle_start=_LOCAL_HEADER.size + len(_PICKLE_NAME),
    )
    tensors, others = find_state_dict(content, file.path)
    described = {name: _stored(tensor, by_offset) for name, tensor in tensors.items()}
    return FileSource(file, described, others)


def _stored(tensor: torch.Tensor, by_offset: dict[int, _Record]) -> StoredTensor:
    """Say where in the file the data of a tensor without data is."""
    shape = tuple(tensor.shape)
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_neg():
        return StoredTensor(shape, tensor.dtype, 0, problem="is not an ordinary dense tensor")
    offset: int | None = getattr(tensor.untyped_storage(), "_checkpoint_offset", None)
    record = None if offset is None else by_offset.get(offset)
    if record is None:
        return StoredTensor(shape, tensor.dtype, 0, problem="has no data in the file")
    first = int(tensor.storage_offset()) * tensor.element_size()
    needed = first + extent(shape, tensor.stride()) * tensor.element_size()
    problem = None
    if needed > record.size:
        problem = f"needs {needed} bytes of a record that has {record.size}: the file is damaged"
    stride = None if tensor.is_contiguous() else tensor.stride()
    return StoredTensor(shape, tensor.dtype, record.start + first, stride, problem)


def _read_records(file: ByteFile) -> dict[str, _Record]:
    """List the records of the zip; all must be stored as they are, inside the file."""
    records: dict[str, _Record] = {}
    try:
        with zipfile.ZipFile(file.path) as archive:
            infos = archive.infolist()
    except Exception as error:  # a damaged directory can raise any error
        raise CheckpointError(
            f"The checkpoint '{file.path}' begins as a zip file but has no readable table of "
            f"contents ({error}); it is cut short or damaged. Download or copy it again."
        ) from error
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & _ENCRYPTED:
            raise CheckpointError(
                f"The record '{info.filename}' of the checkpoint '{file.path}' is compressed or "
                "encrypted; expected records stored as they are, as torch.save writes them. "
                "Don't re-pack the file."
            )
        if info.filename in records or info.compress_size != info.file_size:
            raise CheckpointError(
                f"The record '{info.filename}' of the checkpoint '{file.path}' is there twice or "
                "has two different sizes; the file is damaged. Download or copy it again."
            )
        start = _data_start(file, info)
        if start + info.file_size > file.size:
            raise CheckpointError(
                f"The record '{info.filename}' of the checkpoint '{file.path}' claims "
                f"{info.file_size} bytes at byte {start}, the file has {file.size}; it is cut "
                "short or damaged. Download or copy it again."
            )
        records[info.filename] = _Record(start, info.file_size)
    return records


def _data_start(file: ByteFile, info: zipfile.ZipInfo) -> int:
    """Find a record's data: it follows a header of variable length."""
    what = f"the header of record '{info.filename}'"
    header = file.read_bytes(info.header_offset, _LOCAL_HEADER.size, what)
    magic, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    if magic != b"PK\x03\x04":
        raise CheckpointError(
            f"The checkpoint '{file.path}' has no record where its table of contents places "
            f"'{info.filename}'; it is damaged. Download or copy it again."
        )
    return int(info.header_offset + _LOCAL_HEADER.size + name_length + extra_length)


def _archive_root(records: dict[str, _Record], path: Path) -> str:
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


def _check_byte_order(file: ByteFile, records: dict[str, _Record], root: str) -> None:
    record = records.get(f"{root}/byteorder")
    if record is None:
        return
    order = file.read_bytes(record.start, min(record.size, 16), "the byte order")
    if order != b"little":
        raise CheckpointError(
            f"The checkpoint '{file.path}' was written with byte order {order!r}; expected "
            "'little'. Save it again on a little-endian machine."
        )


def _stand_in(
    file: ByteFile, records: dict[str, _Record], root: str
) -> tuple[io.BytesIO, dict[int, _Record]]:
    """Make the zip that torch is given, and say which record of the file each offset means."""
    pickled = records[f"{root}/data.pkl"]
    data_prefix = f"{root}/data/"
    buffer = io.BytesIO()
    by_offset: dict[int, _Record] = {}
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        content = file.read_bytes(pickled.start, pickled.size, "the record 'data.pkl'")
        archive.writestr(_PICKLE_NAME, content)
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/byteorder", b"little")
        for name, record in records.items():
            if name.startswith(data_prefix):
                archive.writestr(f"archive/data/{name[len(data_prefix) :]}", b"")
                # An empty record was just written, so its data would start where the zip ends.
                by_offset[buffer.tell()] = record
    buffer.seek(0)
    return buffer, by_offset


@functools.lru_cache(maxsize=1)
def layout_mode() -> Callable[[], AbstractContextManager[object]] | None:
    """Find out in which mode this torch notes offsets on the storages that it loads.

    Returns:
        What to enter around loading onto the meta device: nothing where that is enough (torch
        2.13), the documented fake tensors otherwise (two seconds of imports), and None where
        neither notes anything.
    """
    sample = io.BytesIO()
    torch.save({"sample": torch.zeros(1, device="cpu")}, sample)
    for mode in (contextlib.nullcontext, _fake_tensors):
        sample.seek(0)
        with mode():
            loaded = torch.load(sample, map_location="meta", weights_only=True, mmap=False)
            storage = loaded["sample"].untyped_storage()
            if getattr(storage, "_checkpoint_offset", None) is not None:
                return mode
    return None


def _fake_tensors() -> AbstractContextManager[object]:
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode()
