"""Work for the elements of an iterable, some steps ahead of whoever asks for the results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Element = TypeVar("Element")
Result = TypeVar("Result")


def read_ahead(
    work: Callable[[Element], Result], elements: Iterable[Element], *, ahead: int, threads: int = 2
) -> Generator[Result, None, None]:
    """Yields `work(element)` for each element, in order.

    Args:
        work: called in a thread; what it raises is raised where its result would come.
        elements: what to work on.
        ahead: results that are held at most before they are asked for, at least 1.
        threads: how many work.

    Yields:
        The results. When the generator is closed, what waits is given up.
    """
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for element in elements:
            waiting.append(pool.submit(work, element))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
