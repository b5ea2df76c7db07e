"""Tensors that lie in a file: where they are, and reading one of them.

The file is read, never mapped: a mapped file that is cut short or changes while the network runs
would end the process with a bus error, or change its weights.
"""

from __future__ import annotations

import math
import os
import stat
import threading
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import torch

from modelscope_vitadapter.errors import CheckpointError

DTYPES = {
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
"""Types that are read, by safetensors' names."""

ALWAYS_READ = 2**28  # bytes of tensors that are read whatever the file's size
LARGEST_GROWTH = 4
"""Times a file's size that its tensors may have: these can share data, or repeat an element by a
stride of 0, so a kilobyte could ask for all the memory that there is."""


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a checkpoint, described without its data."""

    shape: tuple[int, ...] = ()
    dtype: torch.dtype = torch.uint8  # of its elements in the file; any where there is a problem
    position: int = 0  # byte of its first element in the file
    stride: tuple[int, ...] | None = None  # counted in elements; None when contiguous
    problem: str | None = None  # why the data cannot be read
    key: str | None = None  # name of the storage that holds it, where the format has such

    @property
    def size(self) -> int:
        """Bytes of the tensor, contiguous and in its type in the file."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def spread(self) -> int:
        """Bytes from its first to its last element in the file; fewer than `size` with stride 0."""
        if self.stride is None or 0 in self.shape:
            return self.size
        steps = ((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))
        return (1 + sum(steps)) * self.dtype.itemsize


class Checkpoint(AbstractContextManager["Checkpoint"]):
    """An open checkpoint; a context manager that closes it in the end.

    Attributes:
        path: where it is.
        size: bytes it had when it was opened.
        descriptor: of the open file.
        tensors: the entries of its state dict, by their names in the file; nothing else is read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise self.error(
                "is a directory, a pipe or a device; expected a file written by torch.save or "
                "safetensors",
                "Put the file itself there",
            )
        self.tensors: Mapping[str, StoredTensor] = {}
        self._file = FileIO(path, "r")
        self._lock = threading.Lock()
        self.descriptor = self._file.fileno()
        self.size = self._file.seek(0, 2)

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def error(self, problem: str, remedy: str) -> CheckpointError:
        """The error that says what is wrong with the file."""
        return CheckpointError(f"The checkpoint '{self.path}' {problem}. {remedy}.")

    def damaged(self, reason: str) -> CheckpointError:
        """The error for a file that is not as it was written."""
        return self.error(f"is damaged or cut short: {reason}", "Download or copy it again")

    def read(self, name: str) -> torch.Tensor:
        """Give one tensor, contiguous, on the CPU, in memory that nothing else uses.

        Several threads may read at the same time. `CheckpointError`: the tensor has a problem,
        repeats data too often, there is no memory for it, or the file is shorter than it was.
        """
        stored, shown = self.tensors[name], f"tensor '{name[:100]}'"
        if stored.problem is not None:
            raise CheckpointError(f"The {shown} of '{self.path}' {stored.problem}.")
        self.check_growth([name])
        try:
            count = stored.spread // stored.dtype.itemsize
            flat = torch.empty(count, dtype=stored.dtype, device="cpu")
            if count:
                self._fill(flat.view(torch.uint8).numpy().data, stored.position, shown)
            if stored.stride is None:
                return flat.view(stored.shape)
            return flat.as_strided(stored.shape, stored.stride).contiguous()
        except RuntimeError as error:
            problem = f"needs more memory than there is for {shown}, {list(stored.shape)}: {error}"
            raise self.error(problem, "Free some, or use a smaller model") from error

    def check_growth(self, names: Iterable[str]) -> None:
        """Refuse tensors that are together much larger than the file that they come from."""
        tensors = [self.tensors[name] for name in names]
        size = sum(max(tensor.size, tensor.spread) for tensor in tensors)
        if size > max(ALWAYS_READ, LARGEST_GROWTH * self.size):
            raise self.error(
                f"has {self.size} bytes, and {size} bytes would be read for its tensors, expected "
                f"at most {LARGEST_GROWTH} times the file: they repeat the same data",
                "Save contiguous tensors, each with data of its own, or download the file again",
            )

    def read_bytes(self, position: int, count: int, what: str) -> bytes:
        """Give `count` bytes from `position`; `what` they are is named in errors."""
        buffer = bytearray(count)
        self._fill(memoryview(buffer), position, what)
        return bytes(buffer)

    def _fill(self, view: memoryview, position: int, what: str) -> None:
        done = 0
        try:
            while count := self._read_some(view[done:], position + done):
                done += count
        except (OSError, OverflowError) as error:
            problem = f"cannot be read: {what}: {error}"
            raise self.error(problem, "Check the disk, or copy the file again") from error
        if done < len(view):
            there = f"bytes at byte {position}, {done} are there"
            raise self.damaged(f"{what} needs {len(view)} {there}")

    def _read_some(self, view: memoryview, position: int) -> int:
        """Read at least one byte from `position`; 0 at the end of the file or of the view."""
        if hasattr(os, "preadv"):
            return os.preadv(self.descriptor, [view], position)
        # Windows: the position belongs to the file, so threads take turns.
        with self._lock:
            self._file.seek(position)
            return self._file.readinto(view) or 0
