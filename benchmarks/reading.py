"""How long it takes to read what a network needs of a checkpoint, and nothing else."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.model_files import INDEX
from modelscope_vitadapter.checkpoint.open import open_checkpoint

Range = tuple[int, int]
"""First byte and number of bytes."""


def used_ranges(path: Path) -> list[Range]:
    """Where the tensors that a network needs lie in a checkpoint, in the order of the file."""
    source = open_checkpoint(path)
    try:
        ranges = []
        for name, stored in source.tensors.items():
            if not name.endswith(INDEX):
                count = int(np.prod(stored.shape, dtype=np.int64))
                ranges.append((stored.position, count * stored.dtype.itemsize))
        return sorted(ranges)
    finally:
        source.close()


def time_reading(path: Path) -> dict[str, Any]:
    """Reads these bytes twice: into fresh memory, as a loader must, and into one reused buffer.

    Returns:
        `bytes`, `fresh_s` and `reused_s`.
    """
    ranges = used_ranges(path)
    buffer = np.empty(max(count for _, count in ranges), np.uint8)
    buffer.fill(0)  # its pages are there before the clock starts
    reused = _seconds(path, ranges, lambda count: buffer[:count])
    kept: list[torch.Tensor] = []

    def fresh(count: int) -> np.ndarray:
        # Not numpy's: it asks for huge pages, which a loader that uses PyTorch does not get.
        kept.append(torch.empty(count, dtype=torch.uint8))
        return kept[-1].numpy()

    answer = {"fresh_s": _seconds(path, ranges, fresh), "reused_s": reused}
    return {"bytes": sum(count for _, count in ranges), **answer}


def _seconds(path: Path, ranges: list[Range], memory: Any) -> float:
    started = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        for position, count in ranges:
            view = memoryview(memory(count))
            file.seek(position)
            while view:
                read = file.readinto(view)
                if not read:
                    raise EOFError(f"{path} ends before byte {position + count}")
                view = view[read:]
    return time.perf_counter() - started
