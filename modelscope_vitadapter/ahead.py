"""Work that threads do before its result is asked for."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def done_ahead(
    function: Callable[[T], R], items: Iterable[T], *, threads: int, most: int
) -> Generator[tuple[T, Future[R]], None, None]:
    """Calls a function with items in threads, at most so many before they are asked for.

    Yields:
        Each item with its future, in order; what the function raised is raised by `result()`.
    """
    waiting: deque[tuple[T, Future[R]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for one in items:
            waiting.append((one, pool.submit(function, one)))
            if len(waiting) > most:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
