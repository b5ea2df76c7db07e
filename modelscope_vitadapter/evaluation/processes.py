"""Several processes that share an evaluation, as `torchrun` starts them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed

from modelscope_vitadapter.distributed import is_joined, join_group


@dataclass(frozen=True)
class Processes:
    """This process among those that work together.

    Attributes:
        rank: this one's number, from 0.
        count: how many there are.
        device: where tensors lie that are exchanged; the backend decides.
    """

    rank: int = 0
    count: int = 1
    device: str = "cpu"

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and shows."""
        return self.rank == 0

    def sum(self, array: NDArray[np.int64]) -> NDArray[np.int64]:
        """The sum over all processes, in each of them."""
        if self.count == 1:
            return array
        tensor = torch.from_numpy(np.ascontiguousarray(array)).to(self.device, copy=True)
        distributed.all_reduce(tensor)
        summed: NDArray[np.int64] = tensor.cpu().numpy()
        return summed

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Have the first process do something, such as a download, before the others do it."""
        if self.count > 1 and not self.is_first:
            distributed.barrier()
        try:
            yield
        finally:
            if self.count > 1 and self.is_first:
                distributed.barrier()

    def from_first(self, array: NDArray[np.int64]) -> NDArray[np.int64]:
        """What the first process has; of the same shape in all."""
        if self.count == 1:
            return array
        tensor = torch.from_numpy(np.ascontiguousarray(array)).to(self.device, copy=True)
        distributed.broadcast(tensor, src=0)
        received: NDArray[np.int64] = tensor.cpu().numpy()
        return received


def current_processes() -> Processes:
    """The processes of PyTorch's default group; this one alone where there is none."""
    if not is_joined():
        return Processes()
    rank, count = distributed.get_rank(), distributed.get_world_size()
    nccl = distributed.get_backend() == "nccl"
    device = f"cuda:{torch.cuda.current_device()}" if nccl else "cpu"
    return Processes(rank, count, device)


@contextmanager
def joined_processes(device: str | None = None) -> Iterator[Processes]:
    """Join the others that `torchrun` started, for the time of a `with` block.

    Where a group is there already, or this process was started alone, nothing is changed.

    Args:
        device: The device that was asked for: `cpu` exchanges through gloo; else nccl is taken
            where each process has a GPU of its own.

    Yields:
        This process among them.
    """
    joined = join_group(on_gpu=not on_cpu(device))
    try:
        yield current_processes()
    finally:
        if joined:
            distributed.destroy_process_group()


def on_cpu(device: str | None) -> bool:
    """Whether the network will run on the CPU, given the device that was asked for."""
    wants_cpu = device is not None and str(device).split(":")[0].lower() == "cpu"
    return wants_cpu or not torch.cuda.is_available()
