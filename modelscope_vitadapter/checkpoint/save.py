"""Write a state dict to a file, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from modelscope_vitadapter.errors import CheckpointError


def save_state_dict(state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write tensors by name; the file appears under its name only when it is complete.

    Args:
        state: name to tensor, on any device.
        path: `*.safetensors` is written by safetensors, any other name by `torch.save` as a bare
            state dict. Missing directories are made, an existing file is replaced.

    Raises:
        CheckpointError: the file cannot be written. An existing file is then as it was.
    """
    tensors = _ready_tensors(state)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as aside:
            if path.suffix == ".safetensors":
                save_file(tensors, aside, metadata={"format": "pt"})
            else:
                with aside.open("wb") as file:
                    torch.save(tensors, file)
    # torch reports a full disk as RuntimeError, safetensors with a class of its own.
    except Exception as error:
        raise CheckpointError(
            f"The checkpoint '{path}' cannot be written: {error}. Check the free space and the "
            "permissions of its directory."
        ) from error


def _ready_tensors(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Bring tensors to the CPU, contiguous, each the only one that shows its memory."""
    ready: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, value in state.items():
        tensor = value.detach().to("cpu").contiguous()
        is_part = tensor.untyped_storage().nbytes() != tensor.numel() * tensor.element_size()
        if is_part or tensor.data_ptr() in seen:  # safetensors has no notion of sharing
            tensor = tensor.clone()
        seen.add(tensor.data_ptr())
        ready[name] = tensor
    return ready


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Give a hidden name to write to beside `path`; on success the file is moved to `path`.

    The data is on the disk before the move, so neither a kill nor a power cut leaves half a file
    under the final name. What was written is removed on an error.
    """
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield aside
        sync_file(aside)
        aside.replace(path)
        sync_directory(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Make what was written to a file durable."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_directory(directory: Path) -> None:
    """Make a rename durable, on systems that can open a directory."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
