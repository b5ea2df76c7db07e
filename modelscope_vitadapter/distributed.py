"""Several processes that work together, as `torchrun` starts them.

Everything here also works in a process that is alone, where it does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed

from modelscope_vitadapter.devices import torch_device

T = TypeVar("T")

PATIENCE = timedelta(days=7)
"""How long a process waits for the others. Shares of thousands of images differ by more than
PyTorch's half an hour, and before training one process looks through the whole data set; processes
whose fellow died are ended by `torchrun`."""


def started_together() -> bool:
    """Whether `torchrun` started more processes than this one."""
    return distributed.is_available() and int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_joined() -> bool:
    """Whether there is a process group."""
    return distributed.is_available() and distributed.is_initialized()


def local_rank() -> int:
    """This process's number on its machine, which is that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def process_count() -> int:
    """How many processes work together; 1 without a process group."""
    return distributed.get_world_size() if is_joined() else 1


def process_index() -> int:
    """Which of them this is, from 0; the first one writes and shows."""
    return distributed.get_rank() if is_joined() else 0


def join_group(*, on_gpu: bool) -> bool:
    """Joins the others, where there are others and no group yet; says whether it made one.

    Args:
        on_gpu: by nccl, on the GPU of this process's number, else by gloo.
    """
    if not started_together() or is_joined():
        return False
    if on_gpu:
        torch.cuda.set_device(local_rank())
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)
    return True


@contextmanager
def joined_processes(*, on_gpu: bool) -> Iterator[None]:
    """Joins the others for the time of a `with` block; a group that is there stays as it is."""
    joined = join_group(on_gpu=on_gpu)
    try:
        yield
    finally:
        if joined:
            distributed.destroy_process_group()


def own_device_name(name: str) -> str:
    """The device of this process: of several on a machine each has a GPU of its own.

    Raises:
        ValueError: one GPU was named for several processes.
    """
    kind, _, number = str(name).partition(":")
    if not started_together() or kind not in ("gpu", "cuda"):
        return str(name)
    if number:
        raise ValueError(
            f"device is {str(name)!r} for several processes: expected 'gpu' (each process takes "
            "the GPU of its number on the machine) or 'cpu'"
        )
    return f"cuda:{local_rank()}" if torch.cuda.is_available() else "cpu"


def summed(values: Tensor) -> Tensor:
    """The sum of a tensor over all processes, without gradients; itself where there is one."""
    if process_count() == 1:
        return values
    place = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    total = values.detach().to(place, copy=True)
    distributed.all_reduce(total)
    return total.to(values.device)


def gathered(value: T) -> list[T]:
    """What each process has, in their order; it must be picklable."""
    if process_count() == 1:
        return [value]
    values: list[T | None] = [None] * process_count()
    distributed.all_gather_object(values, value)
    return values  # type: ignore[return-value]


def first_process_does(work: Callable[[], T]) -> T:
    """Has the first process do something; its result, to be picklable, or its error goes to all."""
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


def named_device(name: str) -> torch.device:
    """The device that a name of `pipeline()` means; `gpu` is the CPU where there is no CUDA."""
    kind, _, number = own_device_name(name).lower().partition(":")
    if kind in ("gpu", "cuda"):
        return torch.device(f"cuda:{number or 0}" if torch.cuda.is_available() else "cpu")
    return torch_device(name) or torch.device(name)
