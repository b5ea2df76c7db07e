"""Checkpoints in the safetensors format.

The safetensors library maps the file on the CPU, which this package does not want (see `stored`),
so the table of contents is read here. Source: the format's description in the safetensors
repository, whose checks (no gaps, no overlaps, sizes that agree with shapes) are made here too.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TypeGuard

import torch

from modelscope_vitadapter.checkpoint.stored import ByteFile, FileSource, StoredTensor
from modelscope_vitadapter.errors import CheckpointError

LENGTH_BYTES = 8
LARGEST_HEADER = 8 * 2**20
"""Bytes: some 60,000 tensors. The safetensors library allows 100 MB, which can be JSON that takes
gigabytes of memory."""

_LARGEST_COUNT = 2**62
_MAX_DIMENSIONS = 64

_DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}


def open_safetensors(path: Path) -> FileSource:
    """Open a checkpoint in the safetensors format.

    Args:
        path: the file.

    Returns:
        Its tensors; their data is read one by one when asked for.

    Raises:
        CheckpointError: the file is damaged or cut short.
    """
    file = ByteFile(path)
    try:
        length = int.from_bytes(file.read_bytes(0, LENGTH_BYTES, "its header's length"), "little")
        if length > LARGEST_HEADER:
            raise _damaged(path, f"its header claims {length} bytes")
        header = _parse(file.read_bytes(LENGTH_BYTES, length, "its header"), path)
        data_start = LENGTH_BYTES + length
        tensors = {
            name: _describe(name, entry, data_start, path)
            for name, entry in header.items()
            if name != "__metadata__"
        }
        _check_ranges(header, file.size - data_start, path)
    except BaseException:
        file.close()
        raise
    return FileSource(file, tensors)


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"The safetensors file '{path}' is damaged or cut short: {reason}. Download or copy the "
        "file again."
    )


def _parse(header: bytes, path: Path) -> dict[str, object]:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        result = dict(pairs)
        if len(result) != len(pairs):
            raise ValueError("a name occurs twice")
        # Half a surrogate pair is no text: a message that names it could not be written.
        "".join(part for pair in pairs for part in pair if isinstance(part, str)).encode()
        return result

    try:
        parsed = json.loads(header.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"its header is no valid JSON ({error})") from error
    if not isinstance(parsed, dict):
        raise _damaged(path, "its header is no table of tensors")
    return parsed


def _describe(name: str, entry: object, data_start: int, path: Path) -> StoredTensor:
    shape, (begin, end), dtype_name = _fields(name, entry, path)
    dtype = _DTYPES.get(dtype_name)
    if dtype is None:
        problem = f"is of type {dtype_name[:20]}, expected one of {', '.join(_DTYPES)}"
        return StoredTensor(shape, None, data_start + begin, problem=problem)
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise _damaged(
            path,
            f"tensor '{name[:100]}' of type {dtype_name} and shape {list(shape)} has "
            f"{end - begin} bytes",
        )
    return StoredTensor(shape, dtype, data_start + begin)


def _fields(name: str, entry: object, path: Path) -> tuple[tuple[int, ...], tuple[int, int], str]:
    """Give shape, data offsets and type of a header entry, once they are of the right form."""
    if isinstance(entry, dict):
        shape, offsets, dtype = (entry.get(key) for key in ("shape", "data_offsets", "dtype"))
        if (
            _are_counts(shape)
            and _are_counts(offsets)
            and len(offsets) == 2
            and isinstance(dtype, str)
        ):
            return tuple(shape), (offsets[0], offsets[1]), dtype
    raise _damaged(path, f"the entry of tensor '{name[:100]}' lacks a valid type, shape or range")


def _are_counts(value: object) -> TypeGuard[list[int]]:
    return (
        isinstance(value, list)
        and len(value) <= _MAX_DIMENSIONS
        and all(type(item) is int and 0 <= item < _LARGEST_COUNT for item in value)
    )


def _check_ranges(header: dict[str, object], data_size: int, path: Path) -> None:
    """The tensors must lie one after the other and fill the file to its end."""
    ranges = sorted(
        _fields(name, entry, path)[1] for name, entry in header.items() if name != "__metadata__"
    )
    expected = 0
    for begin, end in ranges:
        if begin != expected or end < begin:
            raise _damaged(path, f"its tensors overlap or leave a gap at byte {begin} of the data")
        expected = end
    if expected != data_size:
        raise _damaged(path, f"its tensors take {expected} bytes and {data_size} are there")
