"""Checkpoints as torch wrote them before 1.6: five pickles, then the data of each storage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from modelscope_vitadapter.checkpoint.container import find_state_dict, read_pickle
from modelscope_vitadapter.checkpoint.pickle_machine import MAX_BYTES
from modelscope_vitadapter.checkpoint.pickle_reader import PickleReader
from modelscope_vitadapter.checkpoint.stored import ByteFile, FileSource, Record, place_tensor
from modelscope_vitadapter.errors import CheckpointError

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_COUNT_BYTES = 8


def open_torch_old(path: Path) -> FileSource:
    """Open a checkpoint in torch's old format.

    Args:
        path: the file.

    Returns:
        Its tensors; their data is read one by one when asked for.

    Raises:
        CheckpointError: the file is damaged, cut short, no checkpoint, or asks for code to be run.
    """
    file = ByteFile(path)
    try:
        return _describe(file)
    except BaseException:
        file.close()
        raise


def _describe(file: ByteFile) -> FileSource:
    path = file.path
    reader = PickleReader(file.read_bytes(0, min(file.size, MAX_BYTES + 1), "its pickles"))
    magic, version = read_pickle(reader, path), None
    if magic == _MAGIC:
        version = read_pickle(reader, path)
    if version != _VERSION:
        raise CheckpointError(
            f"'{path}' is a pickle but not a checkpoint that torch.save wrote, or it is damaged or "
            "cut short. Save the model's state_dict() with torch.save."
        )
    system = read_pickle(reader, path)
    if isinstance(system, Mapping) and system.get("little_endian") is False:
        raise CheckpointError(
            f"The checkpoint '{path}' was written on a big-endian machine; expected a "
            "little-endian one. Save it again on such a machine."
        )
    content, keys = read_pickle(reader, path), read_pickle(reader, path)
    tensors, others = find_state_dict(content, path)
    records = _records(file, reader, keys)
    described = {
        name: place_tensor(name, tensor, records, path) for name, tensor in tensors.items()
    }
    return FileSource(file, described, others)


def _records(file: ByteFile, reader: PickleReader, keys: object) -> dict[str, Record]:
    """Find the storages' data: for each key the number of elements, then the elements."""
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise _damaged(file.path, "its list of storages is no list of names")
    records: dict[str, Record] = {}
    position = reader.position
    for key in keys:
        storage = reader.storages.get(key)
        if storage is None or key in records:
            raise _damaged(file.path, f"storage '{key[:40]}' is listed twice or by no tensor")
        count = int.from_bytes(
            file.read_bytes(position, _COUNT_BYTES, f"the size of storage '{key[:40]}'"), "little"
        )
        if count != storage.count:
            raise _damaged(
                file.path,
                f"storage '{key[:40]}' has {count} elements where {storage.count} are expected",
            )
        records[key] = Record(position + _COUNT_BYTES, count * storage.dtype.itemsize)
        position += _COUNT_BYTES + records[key].size
    if position > file.size:
        raise _damaged(file.path, f"its data should end at byte {position}, it has {file.size}")
    return records


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"The checkpoint '{path}' is damaged or cut short: {reason}. Download or copy it again."
    )
