"""Opens a checkpoint, whatever its format and the name of its file."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import safe_open

from modelscope_vitadapter.checkpoint.pickles import MAX_BYTES, read_pickle
from modelscope_vitadapter.checkpoint.stored import DTYPES, Checkpoint, StoredTensor
from modelscope_vitadapter.errors import CheckpointError, CheckpointNotFoundError
from modelscope_vitadapter.validation import listing, shorten

MAX_DIRECTORY_BYTES = 4 * 2**20  # of a zip's table of contents: some 40,000 records
MAX_HEADER_BYTES = 8 * 2**20  # of a safetensors file: some 60,000 tensors

STATE_DICT_ENTRIES = ("state_dict", "model", "module")  # which trainers store it under
STATE_DICT = "a state dict (names to tensors), bare or under 'state_dict', 'model' or 'module'"
SAVE_STATE_DICT = "Save the model's state_dict() with torch.save"
BIG_ENDIAN = (
    "was written on a big-endian machine; expected a little-endian one",
    "Save it again on such a machine",
)

_HEAD_BYTES = 512
_COUNT_BYTES = 8  # of a number of elements or bytes in a file
_ZIP_MAGIC = b"PK\x03\x04"
_SAFETENSORS_MAGIC = b"\0\0\0\0{"  # upper half of the header's length, begin of the header
_OLD_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)  # PyTorch's, version
_LOCAL_HEADER = struct.Struct("<4s22xHH")

Records = Mapping[str, tuple[int, int]]
"""First byte and number of bytes of the data of each storage, by its key."""


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a file written by `torch.save` (zip, or the older format) or by safetensors.

    Its tensors are read one by one when asked for; the caller closes it.

    Raises:
        CheckpointNotFoundError: there is no such file.
        CheckpointError: the file cannot be opened, is none of these formats, is damaged, compressed
            or cut short, or asks for code to be run.
    """
    try:
        file = Checkpoint(path)
    except FileNotFoundError as error:
        raise CheckpointNotFoundError(
            f"The checkpoint '{path}' does not exist. Check the path, or download the model again."
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint '{path}' cannot be opened: {error}. Check its permissions and the "
            "disk."
        ) from error
    try:
        head = file.read_bytes(0, min(_HEAD_BYTES, file.size), "its beginning")
        if head.startswith(_ZIP_MAGIC):
            _describe_zip(file)
        elif head.startswith(_OLD_MAGIC):
            _describe_old(file)
        elif head[_COUNT_BYTES // 2 : _COUNT_BYTES + 1] == _SAFETENSORS_MAGIC:
            _describe_safetensors(file, int.from_bytes(head[:_COUNT_BYTES], "little"))
        else:
            expected = "expected a file written by torch.save or safetensors"
            raise file.error(f"{_what_it_is(head)}; {expected}", "Download the file again")
    except BaseException:
        file.close()
        raise
    return file


def _describe_safetensors(file: Checkpoint, length: int) -> None:
    """Find the tensors of a safetensors file.

    The library checks it, and maps it for that; reading from a map that is cut short would end the
    process, so only the places of tensors are taken from the header.
    """
    try:
        if length > MAX_HEADER_BYTES:
            raise ValueError(f"a header of {length} bytes, at most {MAX_HEADER_BYTES} are read")
        with safe_open(file.path, "np") as checked:
            names = set(checked.keys())
        header = json.loads(file.read_bytes(_COUNT_BYTES, length, "its header"))
        start = _COUNT_BYTES + length
        file.tensors = {name: _stored(header[name], start) for name in header if name in names}
    except CheckpointError:
        raise
    except Exception as error:  # the library's own class, among others
        raise file.damaged(shorten(str(error))) from error


def _stored(entry: dict[str, Any], start: int) -> StoredTensor:
    dtype = DTYPES.get(entry["dtype"])
    if dtype is None:
        problem = f"is of type {entry['dtype']}, expected one of {', '.join(DTYPES)}"
        return StoredTensor(problem=problem)
    return StoredTensor(tuple(entry["shape"]), dtype, start + entry["data_offsets"][0])


def _what_it_is(head: bytes) -> str:
    """Say what the beginning of a file that is no checkpoint looks like."""
    if not head:
        return "is empty"
    if head.startswith(b"version https://git-lfs"):
        return "is a git-lfs pointer; run 'git lfs pull' in its directory to get the file itself"
    if head.lstrip().startswith(b"<"):
        return "is a web page, probably an error answer of the server that it was downloaded from"
    if head.startswith(b"\x80"):
        return "is a pickle, but none of torch.save and its pickle_protocol 2, or is cut short"
    return f"is of an unknown format (it begins with {head[:32]!r})"


def _describe_zip(file: Checkpoint) -> None:
    """Find the tensors of a zip: its table of contents and its pickle say where the data is."""
    records = _zip_records(file)
    roots = [name.removesuffix("/data.pkl") for name in records if name.endswith("/data.pkl")]
    if len(roots) != 1:
        found = f"{len(roots)} records 'data.pkl', expected one"
        raise file.error(f"is a zip file but no PyTorch checkpoint: {found}", SAVE_STATE_DICT)
    start, size = records.get(f"{roots[0]}/byteorder", (0, 0))
    if file.read_bytes(start, min(size, 16), "the byte order") == b"big":
        raise file.error(*BIG_ENDIAN)
    start, size = records[f"{roots[0]}/data.pkl"]
    data = file.read_bytes(start, min(size, MAX_BYTES), "the record 'data.pkl'")
    prefix = f"{roots[0]}/data/"
    data_of = {name.removeprefix(prefix): records[name] for name in records}
    _describe(file, read_pickle(file, data, 0).content, data_of)


def _describe_old(file: Checkpoint) -> None:
    """Find the tensors of a file in torch's format before 1.6.

    Five pickles: PyTorch's number, the version, the machine, the content, the storages' keys; then
    for each storage the number of its elements, and these.
    """
    data = file.read_bytes(0, min(file.size, MAX_BYTES), "its pickles")
    machine = read_pickle(file, data, len(_OLD_MAGIC))
    if isinstance(machine.content, dict) and not dict.get(machine.content, "little_endian", True):
        raise file.error(*BIG_ENDIAN)
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
    entries = content if isinstance(content, dict) else {}
    nested = (_tensors(dict.get(entries, entry)) for entry in STATE_DICT_ENTRIES)
    tensors = next(filter(None, nested), _tensors(entries))
    if not tensors:
        found = listing([repr(name) for name in dict.keys(entries)]) or type(content).__name__
        problem = f"holds no tensors by name but {found}; expected {STATE_DICT}"
        raise file.error(problem, SAVE_STATE_DICT)
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
    start, size = records.get(tensor.key, (0, -1))
    needed = tensor.position + tensor.spread if tensor.spread else 0  # an empty one lies anywhere
    if needed > size:
        record = f"{needed} bytes of record '{tensor.key[:100]}'"
        raise file.damaged(f"it lacks the data of tensor '{name[:100]}' ({record})")
    return replace(tensor, position=start + tensor.position)


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
        raise file.damaged(f"it is a zip without a readable table of contents ({error})") from error
    records: dict[str, tuple[int, int]] = {}
    end = 0
    for info in sorted(infos, key=lambda one: one.header_offset):
        name = f"record '{info.filename[:100]}'"
        is_encrypted = info.flag_bits & 1
        if is_encrypted or info.compress_type != zipfile.ZIP_STORED:
            problem = f"has a compressed or encrypted {name}; expected data as torch.save stores it"
            raise file.error(problem, "Don't re-pack the file")
        header = file.read_bytes(info.header_offset, _LOCAL_HEADER.size, f"the header of {name}")
        magic, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        is_apart = info.header_offset >= end and info.filename not in records
        start = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        end = start + info.compress_size
        is_whole = magic == _ZIP_MAGIC and end <= file.size and info.compress_size == info.file_size
        if not (is_apart and is_whole):
            raise file.damaged(f"{name} isn't whole, or isn't apart from the others")
        records[info.filename] = (start, info.file_size)
    return records
