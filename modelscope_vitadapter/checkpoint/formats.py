"""Tell the formats of checkpoints apart by their first bytes, whatever the file is called."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from modelscope_vitadapter.checkpoint.safetensors_file import LENGTH_BYTES, open_safetensors
from modelscope_vitadapter.checkpoint.stored import ByteFile, FileSource
from modelscope_vitadapter.checkpoint.torch_old import open_torch_old
from modelscope_vitadapter.checkpoint.torch_zip import open_torch_zip
from modelscope_vitadapter.errors import CheckpointError, CheckpointNotFoundError

_HEAD_BYTES = 512
_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_MAGIC = b"\x80"
_SAFETENSORS_MAGIC = b"\0\0\0\0{"  # upper half of the header's length, begin of the header
_GIT_LFS = b"version https://git-lfs"


def open_checkpoint(path: Path) -> FileSource:
    """Open a checkpoint of any of the supported formats.

    Args:
        path: a file written by `torch.save` (zip, or the older format) or by safetensors.

    Returns:
        Its tensors; the caller closes it.

    Raises:
        CheckpointNotFoundError: there is no such file.
        CheckpointError: the file cannot be opened, is none of these formats, is damaged or asks
            for code to be run.
    """
    path = Path(path)
    if os.path.isdir(path):  # noqa: PTH112  # Path.is_dir() raises where it may not look
        raise CheckpointError(
            f"The checkpoint '{path}' is a directory; expected a file written by torch.save or "
            "safetensors. Unpacked checkpoints must be packed again, or downloaded again."
        )
    try:
        with contextlib.closing(ByteFile(path)) as file:
            head = file.read_bytes(0, min(_HEAD_BYTES, file.size), "its beginning")
        if head.startswith(_ZIP_MAGIC):
            return open_torch_zip(path)
        # Before pickles: the length of the header may begin with the byte that marks a pickle.
        if head[LENGTH_BYTES // 2 : LENGTH_BYTES + 1] == _SAFETENSORS_MAGIC:
            return open_safetensors(path)
        if head.startswith(_PICKLE_MAGIC):
            return open_torch_old(path)
    except FileNotFoundError as error:
        raise CheckpointNotFoundError(
            f"The checkpoint '{path}' does not exist. Check the path, or download the model again."
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint '{path}' cannot be opened: {error}. Check its permissions and the "
            "disk."
        ) from error
    raise CheckpointError(
        f"The checkpoint '{path}' {_what_it_is(head)}; expected a file written by torch.save or "
        "safetensors. Download the file again."
    )


def _what_it_is(head: bytes) -> str:
    """Say what the beginning of a file that is no checkpoint looks like."""
    if not head:
        return "is empty"
    if head.startswith(_GIT_LFS):
        return (
            "is a git-lfs pointer, the short text that stands for a large file; run 'git lfs "
            "pull' in its directory to get the file itself"
        )
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page, probably an error answer of the server that it was downloaded from"
    text = head.strip(b"\r\n\t ")
    if all(32 <= byte < 127 or byte in b"\r\n\t" for byte in text):
        return f"is a text file that begins with {text[:40].decode('ascii')!r}"
    return f"is of an unknown format (it begins with the bytes {head[:8].hex(' ')})"
