"""What a process has to mind that was forked from another one.

Only the thread that forks lives on in the child. OpenMP, in which PyTorch computes on a CPU, does
not notice: where the parent has computed in several threads, the child waits for ever for those
that it thinks it has.
"""

import os

import torch

from modelscope_vitadapter.logs import get_logger

logger = get_logger()

_loaded_in = os.getpid()
"""The process that loaded this module: in a forked child another one, in a spawned one its own."""


def is_forked() -> bool:
    """Whether this process is a fork of the one that loaded this module."""
    return os.getpid() != _loaded_in


def prepare_forked_process() -> None:
    """Lets a forked process compute in one thread; does nothing in any other.

    To be called by each thread before it computes, since OpenMP keeps the number for each thread.
    """
    if is_forked() and torch.get_num_threads() > 1:
        torch.set_num_threads(1)
        logger.warning(
            "this process was forked from one that had loaded PyTorch, so it computes in one "
            "thread; for more, start processes with multiprocessing's 'spawn' method"
        )
