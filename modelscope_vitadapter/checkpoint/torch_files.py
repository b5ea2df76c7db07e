"""What `torch.save` writes: a zip of one pickle and a record per storage, or the format before it.

Only pickles and the zip's table of contents are read at first. They say where in the file each
tensor's data is, so that nothing that they declare takes memory.
"""

from __future__ import annotations

import io
import itertools
import os
import pickle
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from modelscope_vitadapter.checkpoint.names import STATE_DICT_ENTRIES
from modelscope_vitadapter.checkpoint.pickles import MAX_BYTES, read_pickle
from modelscope_vitadapter.checkpoint.stored import Checkpoint, StoredTensor
from modelscope_vitadapter.errors import CheckpointError
from modelscope_vitadapter.validation import listing

ZIP_MAGIC = b"PK\x03\x04"
OLD_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
"""The two pickles that a file of the old format begins with: PyTorch's number, and the version."""

MAX_DIRECTORY_BYTES = 4 * 2**20
"""Bytes of the zip's table of contents: some 40,000 records as torch names them."""

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ENCRYPTED = 1
_COUNT_BYTES = 8

Records = Mapping[str, tuple[int, int]]
"""First byte and number of bytes of the data of each storage, by its key."""


def describe_zip(file: Checkpoint) -> None:
    """Find the tensors of a zip; see `open_checkpoint` for errors."""
    records = _zip_records(file)
    roots = [name.removesuffix("/data.pkl") for name in records if name.endswith("/data.pkl")]
    if any(f"{root}/constants.pkl" in records for root in roots):
        raise CheckpointError(
            f"'{file.path}' is a TorchScript program; expected a checkpoint of weights. Save the "
            "model's state_dict() with torch.save."
        )
    if len(roots) != 1:
        raise CheckpointError(
            f"'{file.path}' is a zip file but no PyTorch checkpoint: it holds {len(roots)} records "
            "'data.pkl', expected one. Save the model's state_dict() with torch.save."
        )
    start, size = records.get(f"{roots[0]}/byteorder", (0, 0))
    if file.read_bytes(start, min(size, 16), "the byte order") not in (b"", b"little"):
        raise _big_endian(file.path)
    start, size = records[f"{roots[0]}/data.pkl"]
    data = file.read_bytes(start, min(size, MAX_BYTES), "the record 'data.pkl'")
    prefix = f"{roots[0]}/data/"
    data_of = {name.removeprefix(prefix): records[name] for name in records}
    _describe(file, read_pickle(file, data, 0).content, data_of)


def describe_old(file: Checkpoint) -> None:
    """Find the tensors of a file in torch's format before 1.6; see `open_checkpoint` for errors.

    Five pickles: PyTorch's number, the version, the machine, the content, the storages' keys; then
    for each storage the number of its elements, and these.
    """
    data = file.read_bytes(0, min(file.size, MAX_BYTES), "its pickles")
    machine = read_pickle(file, data, len(OLD_MAGIC))
    if isinstance(machine.content, dict) and not dict.get(machine.content, "little_endian", True):
        raise _big_endian(file.path)
    weights = read_pickle(file, data, machine.end)
    keys = read_pickle(file, data, weights.end)
    if not isinstance(keys.content, list) or not all(isinstance(key, str) for key in keys.content):
        raise file.damaged("its list of storages is no list of names")
    records: dict[str, tuple[int, int]] = {}
    position = keys.end
    for key in keys.content:
        what = f"the size of storage '{key[:40]}'"
        length = int.from_bytes(file.read_bytes(position, _COUNT_BYTES, what), "little")
        storage = weights.storages.get(key)
        if storage is None or storage.length != length or key in records:
            raise file.damaged(f"storage '{key[:40]}' is not what tensors need")
        records[key] = (position + _COUNT_BYTES, length * storage.dtype.itemsize)
        position = sum(records[key])
    if position > file.size:
        raise file.damaged(f"its data should end at byte {position}, it has {file.size}")
    _describe(file, weights.content, records)


def _describe(file: Checkpoint, content: object, records: Records) -> None:
    """Find the state dict in what was pickled: bare, or under one of `STATE_DICT_ENTRIES`."""
    if not isinstance(content, dict):
        kind = "Tensor" if isinstance(content, StoredTensor) else type(content).__name__
        raise CheckpointError(
            f"The checkpoint '{file.path}' holds one {kind}; expected a state dict (names to "
            "tensors), bare or under 'state_dict'. Save the model's state_dict()."
        )
    nested = (_tensors(dict.get(content, entry)) for entry in STATE_DICT_ENTRIES)
    tensors = next(filter(None, nested), _tensors(content))
    if not tensors:
        entries = listing([repr(name) for name in dict.keys(content)])
        raise CheckpointError(
            f"The checkpoint '{file.path}' holds no tensors by name; its entries are [{entries}], "
            "expected a state dict, bare or under 'state_dict', 'model' or 'module'. Save the "
            "model's state_dict()."
        )
    file.tensors = {name: _placed(name, tensor, records, file) for name, tensor in tensors.items()}


def _tensors(mapping: object) -> dict[str, StoredTensor]:
    """The tensors of a dictionary; a pickle can give an ordered one attributes for its methods."""
    if not isinstance(mapping, dict):
        return {}
    return {
        name: value
        for name, value in dict.items(mapping)
        if isinstance(name, str) and isinstance(value, StoredTensor)
    }


def _placed(name: str, tensor: StoredTensor, records: Records, file: Checkpoint) -> StoredTensor:
    """Say where in the file a tensor's data is, once it lies inside of its record."""
    if tensor.key is None or tensor.problem is not None:
        return tensor
    if tensor.key not in records:
        raise file.damaged(
            f"it lacks the data of tensor '{name[:100]}' (record '{tensor.key[:100]}')"
        )
    start, size = records[tensor.key]
    needed, problem = tensor.position + tensor.spread, None
    if tensor.spread and needed > size:  # an empty one may lie anywhere
        problem = f"needs {needed} bytes of a record that has {size}: the file is damaged"
    return replace(tensor, position=start + tensor.position, problem=problem)


class _BoundedFile(io.FileIO):
    """A file that refuses to be read in larger pieces than a table of contents may have."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise ValueError(f"it would take {size} bytes, at most {MAX_DIRECTORY_BYTES} are read")
        return super().read(-1 if size is None else size) or b""


def _zip_records(file: Checkpoint) -> dict[str, tuple[int, int]]:
    """List the records of a zip; all must be stored as they are, apart, inside the file."""
    try:
        with _BoundedFile(os.dup(file.descriptor), "rb") as raw, zipfile.ZipFile(raw) as archive:
            infos = archive.infolist()
    except Exception as error:  # a damaged table can raise any error
        raise CheckpointError(
            f"The checkpoint '{file.path}' begins as a zip file but has no readable table of "
            f"contents ({error}); it is cut short or damaged. Download or copy it again."
        ) from error
    records: dict[str, tuple[int, int]] = {}
    places: list[tuple[int, int, str]] = []
    for info in infos:
        name = f"record '{info.filename[:100]}'"
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & _ENCRYPTED:
            raise CheckpointError(
                f"The {name} of the checkpoint '{file.path}' is compressed or encrypted; expected "
                "records stored as they are, as torch.save writes them. Don't re-pack the file."
            )
        header = file.read_bytes(info.header_offset, _LOCAL_HEADER.size, f"the header of {name}")
        magic, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        start = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        end = start + info.file_size
        if magic != ZIP_MAGIC or end > file.size:
            raise file.damaged(
                f"{name} should take {info.file_size} bytes at byte {start} of {file.size}"
            )
        if info.filename in records or info.compress_size != info.file_size:
            raise file.damaged(f"{name} is there twice or has two different sizes")
        records[info.filename] = (start, info.file_size)
        places.append((info.header_offset, end, name))
    for (_, end, name), (begin, _, other) in itertools.pairwise(sorted(places)):
        if begin < end:
            raise file.damaged(f"{name} and {other} overlap")
    return records


def _big_endian(path: Path) -> CheckpointError:
    return CheckpointError(
        f"The checkpoint '{path}' was written on a big-endian machine; expected a little-endian "
        "one. Save it again on such a machine."
    )
