"""Tensors that lie in a file: where they are, and reading one of them.

The file is read, never mapped: a mapped file that is cut short or changes while the network runs
would end the process with a bus error, or change its weights.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Protocol

import torch

from modelscope_vitadapter.errors import CheckpointError


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a checkpoint, described without its data.

    Attributes:
        shape: sizes of the tensor.
        dtype: type of its elements in the file, None where torch has no such type.
        position: order of the tensor in the file; bytes from the start where that is known.
        stride: steps between elements, counted in elements; None when contiguous.
        problem: why the data cannot be read, or None.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype | None
    position: int
    stride: tuple[int, ...] | None = None
    problem: str | None = None

    @property
    def size(self) -> int:
        """Bytes of the tensor, contiguous and in its type in the file."""
        return 0 if self.dtype is None else math.prod(self.shape) * self.dtype.itemsize


class TensorSource(Protocol):
    """An open checkpoint.

    Attributes:
        tensors: the entries of its state dict, by their names in the file.
        others: names of everything else in the file; nothing of it is read.
    """

    @property
    def tensors(self) -> Mapping[str, StoredTensor]:
        """The entries of the state dict, by their names in the file."""
        ...

    @property
    def others(self) -> tuple[str, ...]:
        """Names of what lies beside the state dict."""
        ...

    def read(self, name: str) -> torch.Tensor:
        """Give one tensor, contiguous, on the CPU, in memory that nothing else uses.

        Several threads may read different tensors at the same time.
        """
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


def extent(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """Count the elements from a strided tensor's first to its last one, both included."""
    if 0 in shape:
        return 0
    return 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))


class ByteFile:
    """A file of which byte ranges are read, by several threads at a time if need be.

    Attributes:
        path: where it is.
        size: bytes it had when it was opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = FileIO(path, "r")
        self._lock = threading.Lock()
        self.size = self._file.seek(0, 2)

    def read_into(self, view: memoryview, position: int, what: str) -> None:
        """Fill a writable byte view from the file.

        Args:
            view: where the bytes go; its length says how many.
            position: first byte in the file.
            what: named in the error.

        Raises:
            CheckpointError: the file ends before, or cannot be read.
        """
        done = 0
        try:
            while done < len(view):
                count = self._read_some(view[done:], position + done)
                if not count:
                    break
                done += count
        except OSError as error:
            raise CheckpointError(
                f"Reading {what} from '{self.path}' failed: {error}. Check the disk, or copy the "
                "file again."
            ) from error
        if done < len(view):
            raise CheckpointError(
                f"The checkpoint '{self.path}' is cut short: {what} needs {len(view)} bytes at "
                f"byte {position}, {done} are there. Download or copy the file again."
            )

    def _read_some(self, view: memoryview, position: int) -> int:
        """Read at least one byte from `position`; 0 at the end of the file."""
        if hasattr(os, "preadv"):
            return os.preadv(self._file.fileno(), [view], position)
        # Windows: the position belongs to the file, so threads take turns.
        with self._lock:
            self._file.seek(position)
            return self._file.readinto(view) or 0

    def read_bytes(self, position: int, count: int, what: str) -> bytes:
        """Give `count` bytes from `position`; errors as for `read_into`."""
        if position < 0 or position + count > self.size:
            raise CheckpointError(
                f"The checkpoint '{self.path}' is cut short or damaged: {what} should take "
                f"{count} bytes at byte {position}, the file has {self.size}. Download or copy "
                "the file again."
            )
        buffer = bytearray(count)
        self.read_into(memoryview(buffer), position, what)
        return bytes(buffer)

    def read_tensor(self, name: str, stored: StoredTensor) -> torch.Tensor:
        """Read one tensor into fresh memory.

        Args:
            name: named in errors.
            stored: its description; `position` is the byte of its first element.

        Returns:
            A contiguous CPU tensor of the stored shape and type.

        Raises:
            CheckpointError: the description has a problem, or the file is too short.
        """
        if stored.problem is not None or stored.dtype is None:
            raise CheckpointError(f"Tensor '{name}' of '{self.path}' {stored.problem}.")
        contiguous = stored.stride is None
        count = 0 if stored.stride is None else extent(stored.shape, stored.stride)
        shape = stored.shape if contiguous else (count,)
        flat = torch.empty(shape, dtype=stored.dtype, device="cpu")
        if flat.numel():
            as_bytes = flat.reshape(-1).view(torch.uint8).numpy()
            self.read_into(as_bytes.data, stored.position, f"tensor '{name}'")
        if stored.stride is None:
            return flat
        strided = flat.as_strided(stored.shape, stored.stride)
        return strided.clone(memory_format=torch.contiguous_format)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass
class FileSource:
    """A checkpoint whose tensors lie at known places of one file."""

    file: ByteFile
    tensors: Mapping[str, StoredTensor]
    others: tuple[str, ...] = field(default=())

    def read(self, name: str) -> torch.Tensor:
        """Read one tensor; see `ByteFile.read_tensor`."""
        return self.file.read_tensor(name, self.tensors[name])

    def close(self) -> None:
        """Close the file."""
        self.file.close()
