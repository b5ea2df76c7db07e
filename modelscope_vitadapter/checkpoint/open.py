"""Opens a checkpoint, whatever its format and the name of its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open

from modelscope_vitadapter.checkpoint.stored import DTYPES, Checkpoint, StoredTensor
from modelscope_vitadapter.checkpoint.torch_files import (
    OLD_MAGIC,
    ZIP_MAGIC,
    describe_old,
    describe_zip,
)
from modelscope_vitadapter.errors import CheckpointError, CheckpointNotFoundError
from modelscope_vitadapter.validation import shorten

LARGEST_HEADER = 8 * 2**20
"""Bytes of a safetensors file's header: some 60,000 tensors. The library allows 100 MB."""

_HEAD_BYTES = 512
_LENGTH_BYTES = 8
_SAFETENSORS_MAGIC = b"\0\0\0\0{"  # upper half of the header's length, begin of the header


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a checkpoint of any of the supported formats.

    Args:
        path: a file written by `torch.save` (zip, or the older format) or by safetensors.

    Returns:
        Its tensors, whose data is read one by one when asked for; the caller closes it.

    Raises:
        CheckpointNotFoundError: there is no such file.
        CheckpointError: the file cannot be opened, is none of these formats, is damaged, compressed
            or cut short, or asks for code to be run.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise CheckpointError(
                f"The checkpoint '{path}' is a directory; expected a file written by torch.save or "
                "safetensors. Unpacked checkpoints must be packed again, or downloaded again."
            )
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
        if head.startswith(ZIP_MAGIC):
            describe_zip(file)
        elif head.startswith(OLD_MAGIC):
            describe_old(file)
        elif head[_LENGTH_BYTES // 2 : _LENGTH_BYTES + 1] == _SAFETENSORS_MAGIC:
            _describe_safetensors(file, int.from_bytes(head[:_LENGTH_BYTES], "little"))
        else:
            raise CheckpointError(
                f"The checkpoint '{path}' {_what_it_is(head)}; expected a file written by "
                "torch.save or safetensors. Download the file again."
            )
    except BaseException:
        file.close()
        raise
    return file


def _describe_safetensors(file: Checkpoint, length: int) -> None:
    """Find the tensors of a safetensors file.

    The library checks it and maps it for that. Reading from a map that is cut short would end the
    process, so what is taken from the header are the places of tensors.
    """
    try:
        if length > LARGEST_HEADER:
            raise ValueError(f"a header of {length} bytes, at most {LARGEST_HEADER} are read")
        with safe_open(file.path, "np") as checked:
            names = set(checked.keys())
        header = json.loads(file.read_bytes(_LENGTH_BYTES, length, "its header"))
        start = _LENGTH_BYTES + length
        file.tensors = {name: _stored(header[name], start) for name in header if name in names}
    except CheckpointError:
        raise
    except Exception as error:  # the library's own class, among others
        raise file.damaged(shorten(str(error))) from error


def _stored(entry: dict[str, Any], start: int) -> StoredTensor:
    dtype = DTYPES.get(entry["dtype"])
    problem = None
    if dtype is None:
        problem = f"is of type {entry['dtype']}, expected one of {', '.join(DTYPES)}"
    return StoredTensor(
        tuple(entry["shape"]), dtype, start + entry["data_offsets"][0], None, problem
    )


def _what_it_is(head: bytes) -> str:
    """Say what the beginning of a file that is no checkpoint looks like."""
    if not head:
        return "is empty"
    if head.startswith(b"version https://git-lfs"):
        return (
            "is a git-lfs pointer, the short text that stands for a large file; run 'git lfs "
            "pull' in its directory to get the file itself"
        )
    if head.lstrip().startswith(b"<"):
        return "is a web page, probably an error answer of the server that it was downloaded from"
    if head.startswith(b"\x80"):
        return "is a pickle but not a checkpoint that torch.save wrote, or it is cut short"
    return f"is of an unknown format (it begins with {head[:32]!r})"
