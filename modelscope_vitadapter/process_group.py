"""The processes that `torchrun` started, as one group of PyTorch."""

from __future__ import annotations

import os
from datetime import timedelta

import torch
from torch import distributed

PATIENCE = timedelta(days=7)
"""How long a process waits for the others. Shares of thousands of pictures differ by more than
PyTorch's half an hour, and before training one process looks through the whole data set; processes
whose fellow died are ended by `torchrun`."""


def started_together() -> bool:
    """Whether `torchrun` started more processes than this one."""
    return distributed.is_available() and int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_joined() -> bool:
    """Whether there is a group."""
    return distributed.is_available() and distributed.is_initialized()


def local_rank() -> int:
    """This process's number on its machine, which is that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def join_group(*, on_gpu: bool) -> bool:
    """Joins the others, where there are others and no group yet.

    Args:
        on_gpu: nccl and the GPU of this process's number, else gloo.

    Returns:
        Whether a group was made, which the caller may end.
    """
    if not started_together() or is_joined():
        return False
    if on_gpu:
        torch.cuda.set_device(local_rank())
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)
    return True
