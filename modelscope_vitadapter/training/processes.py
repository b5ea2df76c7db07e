"""What several processes that train together need of each other."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed

T = TypeVar("T")

PATIENCE = timedelta(days=1)
"""How long processes wait for each other: one may look through a whole data set meanwhile."""


def join_processes(device_type: str) -> bool:
    """Joins the other processes that `torchrun` started, once.

    Args:
        device_type: `cuda` for NCCL; anything else talks by gloo.

    Returns:
        Whether there is more than this process.
    """
    if not distributed.is_available() or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return False
    if not distributed.is_initialized():
        backend = "nccl" if device_type == "cuda" else "gloo"
        distributed.init_process_group(backend, timeout=PATIENCE)
    return True


def process_count() -> int:
    """How many processes train together; 1 without a process group."""
    ready = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if ready else 1


def process_index() -> int:
    """Which of them this is, from 0."""
    ready = distributed.is_available() and distributed.is_initialized()
    return distributed.get_rank() if ready else 0


def local_device(device: torch.device) -> torch.device:
    """The GPU of this process among those of its machine, for a device without an index."""
    if device.type != "cuda" or device.index is not None:
        return device
    local = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(local)
    return local


def summed(values: Tensor) -> Tensor:
    """The sum of a tensor over all processes, without gradients; itself where there is one."""
    if process_count() == 1:
        return values
    total = values.detach().clone()
    distributed.all_reduce(total)
    return total


def first_process_does(work: Callable[[], T]) -> T:
    """Has the first process do something, and gives its result, or its error, to all of them.

    Args:
        work: what to do; its result must be picklable.
    """
    if process_count() == 1:
        return work()
    answer: list[object] = [None, None]
    if process_index() == 0:
        try:
            answer[0] = work()
        except Exception as error:  # the others wait for an answer, whatever it is
            answer[1] = error
    distributed.broadcast_object_list(answer, src=0)
    if isinstance(answer[1], Exception):
        raise answer[1]
    return answer[0]  # type: ignore[return-value]


def gathered(value: T) -> list[T]:
    """What each process has, in their order."""
    if process_count() == 1:
        return [value]
    values: list[T | None] = [None] * process_count()
    distributed.all_gather_object(values, value)
    return values  # type: ignore[return-value]
