"""Tensors that lie in a file: where they are, and reading one of them.

The file is read, never mapped: a mapped file that is cut short or changes while the network runs
would end the process with a bus error, or change its weights.
"""

from __future__ import annotations

import math
import os
import stat
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

import torch

from modelscope_vitadapter.checkpoint.pickled import PickledTensor
from modelscope_vitadapter.errors import CheckpointError

LARGEST_DETOUR = 64 * 2**20
"""Bytes that are read at most for a tensor that is smaller than what it is spread over."""


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a checkpoint, described without its data.

    Attributes:
        shape: sizes of the tensor.
        dtype: type of its elements in the file, None where torch has no such type.
        position: byte of its first element in the file.
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

    @property
    def spread(self) -> int:
        """Bytes from its first to its last element in the file; fewer than `size` with stride 0."""
        if self.dtype is None or self.stride is None:
            return self.size
        return extent(self.shape, self.stride) * self.dtype.itemsize


@dataclass(frozen=True)
class Record:
    """The data of one storage: its first byte in the file and its number of bytes."""

    start: int
    size: int


def extent(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """Count the elements from a strided tensor's first to its last one, both included."""
    if 0 in shape:
        return 0
    return 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))


def place_tensor(
    name: str, tensor: PickledTensor, records: Mapping[str, Record], path: Path
) -> StoredTensor:
    """Say where in the file the data of a pickled tensor is.

    Args:
        name: named in errors.
        tensor: what the pickle says of it.
        records: where the storages' data is, by their keys.
        path: the file, named in errors.

    Raises:
        CheckpointError: the file has no such storage.
    """
    problem = tensor.problem
    if problem is not None or tensor.storage is None:
        return StoredTensor(tensor.shape, tensor.dtype, 0, problem=problem)
    record = records.get(tensor.storage.key)
    if record is None:
        raise CheckpointError(
            f"The checkpoint '{path}' is damaged: it lacks the data of tensor '{name[:100]}' "
            f"(record '{tensor.storage.key[:100]}'). Download or copy it again."
        )
    itemsize = tensor.dtype.itemsize
    first = (tensor.storage.first + tensor.first) * itemsize
    spread = extent(tensor.shape, tensor.stride) * itemsize
    size = math.prod(tensor.shape) * itemsize
    if first + spread > record.size:
        problem = f"needs {first + spread} bytes of a record that has {record.size}: the file is "
        problem += "damaged"
    elif spread > max(LARGEST_DETOUR, 2 * size):
        problem = f"has {size} bytes spread over {spread}, which is no view that a model has"
    stride = None if is_contiguous(tensor.shape, tensor.stride) else tensor.stride
    return StoredTensor(tensor.shape, tensor.dtype, record.start + first, stride, problem)


def is_contiguous(shape: tuple[int, ...], stride: tuple[int, ...]) -> bool:
    """Whether elements lie one behind the other; the stride of a single element is irrelevant."""
    expected = 1
    for size, step in zip(reversed(shape), reversed(stride), strict=True):
        if size != 1 and step != expected and 0 not in shape:
            return False
        expected *= size
    return True


class ByteFile:
    """A file of which byte ranges are read, by several threads at a time if need be.

    Attributes:
        path: where it is.
        size: bytes it had when it was opened.

    Raises:
        OSError: it can't be opened.
        CheckpointError: it is no regular file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = FileIO(path, "r", opener=_open_without_waiting)
        self._lock = threading.Lock()
        if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
            self._file.close()
            raise CheckpointError(
                f"The checkpoint '{path}' is a pipe or a device; expected a regular file. Put the "
                "file itself there."
            )
        self.size = self._file.seek(0, 2)

    def fileno(self) -> int:
        """The descriptor of the open file."""
        return self._file.fileno()

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
        name = name[:100]
        if stored.problem is not None or stored.dtype is None:
            raise CheckpointError(f"Tensor '{name}' of '{self.path}' {stored.problem}.")
        contiguous = stored.stride is None
        count = 0 if stored.stride is None else extent(stored.shape, stored.stride)
        shape = stored.shape if contiguous else (count,)
        try:
            flat = torch.empty(shape, dtype=stored.dtype, device="cpu")
        except RuntimeError as error:
            raise CheckpointError(
                f"There is no memory for tensor '{name}' of '{self.path}', shape {list(shape)}: "
                f"{error}. Free some, or use a smaller model."
            ) from error
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


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file; a named pipe would make a plain `open` wait for whoever writes to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


@dataclass
class FileSource:
    """An open checkpoint, whose tensors lie at known places of one file.

    Attributes:
        file: the file.
        tensors: the entries of its state dict, by their names in the file.
        others: names of everything else in the file; nothing of it is read.
    """

    file: ByteFile
    tensors: Mapping[str, StoredTensor]
    others: tuple[str, ...] = field(default=())

    def read(self, name: str) -> torch.Tensor:
        """Give one tensor, contiguous, on the CPU, in memory that nothing else uses.

        Several threads may read different tensors at the same time. See `ByteFile.read_tensor`.
        """
        return self.file.read_tensor(name, self.tensors[name])

    def close(self) -> None:
        """Close the file."""
        self.file.close()
