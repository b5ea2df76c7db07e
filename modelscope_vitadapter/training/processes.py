"""What several processes that train together need of each other."""

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor, distributed

from modelscope_vitadapter.process_group import is_joined, local_rank, started_together

T = TypeVar("T")


def own_device_name(name: str, *, has_cuda: bool) -> str:
    """The device of this process: of several on a machine each has a GPU of its own.

    Args:
        name: what the caller gave: `gpu`, `cuda`, `cpu`, `cuda:N`.
        has_cuda: whether there are GPUs.

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
    return f"cuda:{local_rank()}" if has_cuda else "cpu"


def process_count() -> int:
    """How many processes train together; 1 without a process group."""
    return distributed.get_world_size() if is_joined() else 1


def process_index() -> int:
    """Which of them this is, from 0."""
    return distributed.get_rank() if is_joined() else 0


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
