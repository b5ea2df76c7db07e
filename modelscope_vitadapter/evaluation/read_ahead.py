"""Does work for the elements of an iterable some steps ahead of whoever asks for the results."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Element = TypeVar("Element")
Result = TypeVar("Result")


def read_ahead(
    work: Callable[[Element], Result], elements: Iterable[Element], *, ahead: int, threads: int = 2
) -> Generator[Result, None, None]:
    """Yield `work(element)` for each element, in order.

    Args:
        work: Called in a thread; what it raises is raised where its result would come.
        elements: What to work on.
        ahead: Results that are held at most before they are asked for; 0 works in the caller's
            thread.
        threads: How many work.

    Yields:
        The results. When the generator is closed, what waits is given up.
    """
    if ahead <= 0:
        yield from map(work, elements)
        return
    remaining = iter(elements)
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(min(threads, ahead))
    try:
        for element in itertools.islice(remaining, ahead):
            waiting.append(pool.submit(work, element))
        while waiting:
            result = waiting.popleft().result()
            for element in itertools.islice(remaining, 1):
                waiting.append(pool.submit(work, element))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
