"""Looks through a whole data set before it is worked with."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from modelscope_vitadapter.datasets.label_ids import IGNORED, table_of
from modelscope_vitadapter.datasets.reading import read_labelled
from modelscope_vitadapter.datasets.samples import LabelledPictures
from modelscope_vitadapter.errors import DataSetError

LISTED = 20
"""Problems that the error lists at most; all are counted."""

MAX_WORKERS = 8


def check_labelled(
    pictures: LabelledPictures,
    num_classes: int,
    *,
    listed: int = LISTED,
    workers: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> None:
    """Read every picture and label map once and report what is wrong with any of them.

    Args:
        pictures: The data set.
        num_classes: K.
        listed: Problems that are listed at most.
        workers: Threads that read; as many as there are processors, up to 8, if None.
        progress: Called as `progress(done, total)` after each picture.

    Raises:
        DataSetError: The data set is empty, has no labelled pixel at all, or lists the problems by
            file.
    """
    total = len(pictures)
    if total == 0:
        raise DataSetError("the data set is empty: expected at least one picture with a label map")
    table_of(pictures.label_ids, num_classes)  # what is wrong with all of them is said once
    problems: list[str] = []
    labelled = False
    threads = workers or min(os.cpu_count() or 1, MAX_WORKERS)
    for done, (found, problem) in enumerate(_outcomes(pictures, num_classes, threads), 1):
        labelled = labelled or found
        if problem is not None:
            problems.append(problem)
        if progress is not None:
            progress(done, total)
    if problems:
        raise DataSetError(_listing(problems, total, listed))
    if not labelled:
        raise DataSetError(
            f"none of the {total} label maps holds a class, only ids that are not counted: give "
            "another folder of label maps, or say with label_ids what their ids mean"
        )


def _outcomes(
    pictures: LabelledPictures, num_classes: int, threads: int
) -> Iterator[tuple[bool, str | None]]:
    """For each picture, in order: whether any pixel is labelled, and what is wrong."""

    def outcome(index: int) -> tuple[bool, str | None]:
        try:
            picture = read_labelled(pictures[index], pictures.label_ids, num_classes)
        except MemoryError:
            raise
        except DataSetError as error:
            return True, str(error)
        except Exception as error:  # what a data set of others raises when it is asked for a row
            return True, f"picture {index} (counted from 0): {type(error).__name__}: {error}"
        return bool((picture.classes != IGNORED).any()), None

    waiting: deque[Future[tuple[bool, str | None]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        indices = iter(range(len(pictures)))
        for index in itertools.islice(indices, 2 * threads):
            waiting.append(pool.submit(outcome, index))
        while waiting:
            yield waiting.popleft().result()
            for index in itertools.islice(indices, 1):
                waiting.append(pool.submit(outcome, index))


def _listing(problems: list[str], total: int, listed: int) -> str:
    lines = [f"{len(problems)} of {total} labelled pictures can't be used:"]
    lines += [f"  {problem}" for problem in problems[:listed]]
    if len(problems) > listed:
        lines.append(f"  and {len(problems) - listed} others")
    return "\n".join(lines)
