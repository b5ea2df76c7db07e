"""Takes a confusion matrix: pictures through a model, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.datasets.reading import LabelledPicture, read_labelled
from modelscope_vitadapter.datasets.samples import LabelledPictures
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.evaluation.confusion import ConfusionMatrix
from modelscope_vitadapter.evaluation.processes import Processes, current_processes
from modelscope_vitadapter.evaluation.read_ahead import read_ahead
from modelscope_vitadapter.evaluation.saved_counts import Counted, SavedCounts

Segment = Callable[[Iterable[NDArray[np.uint8]]], Iterable[NDArray[Any]]]
"""Pictures `(H, W, 3)` BGR to class maps `(H, W)`, in order; it may ask for some more pictures
before it gives the first class map."""

Progress = Callable[[int, int, ConfusionMatrix], object]
"""Called as `progress(done, total, matrix)` once before the first picture and after each: pictures
that are counted and that will be, and the counts so far."""

READ_AHEAD = 4
"""Pictures that are read before the model asks for them."""


def measure(
    segment: Segment,
    pictures: LabelledPictures,
    num_classes: int,
    *,
    indices: Sequence[int] | None = None,
    saved: SavedCounts | None = None,
    progress: Progress | None = None,
    processes: Processes | None = None,
    ahead: int = READ_AHEAD,
) -> ConfusionMatrix:
    """Count how a model's class maps agree with a data set.

    Args:
        segment: The model.
        pictures: The data set; pictures are read when their turn comes and then given up.
        num_classes: K.
        indices: Which of its pictures; all if None.
        saved: Where counts are saved to, and gone on from. With an interrupt or an error they are
            saved too. The caller removes the files when it has the result.
        progress: Told after each picture. Of several processes each tells of its own pictures.
        processes: Who shares the pictures; by default PyTorch's process group where there is one.
            Every picture is counted by one of them.
        ahead: Pictures that are read ahead.

    Returns:
        The confusion matrix over all processes, in each of them.

    Raises:
        DataSetError: The data set is empty; or a file, named in the message, can't be used.
    """
    processes = processes or current_processes()
    total = len(pictures)
    wanted = np.arange(total) if indices is None else np.unique(np.asarray(indices, np.int64))
    if len(wanted) == 0:
        raise DataSetError("the data set is empty: expected at least one picture with a label map")
    before = _gathered(saved, num_classes, total, processes)
    wanted = wanted[~before.done[wanted]]
    mine = wanted[processes.rank :: processes.count]
    here = Counted.nothing(num_classes, total)
    _count(segment, pictures, mine, before, here, saved, progress, processes, ahead)
    counts = before.counts + processes.sum(here.counts)
    return ConfusionMatrix(num_classes, counts)


def _gathered(
    saved: SavedCounts | None, num_classes: int, pictures: int, processes: Processes
) -> Counted:
    """What earlier runs counted; read by the first process, since it changes the files."""
    before = Counted.nothing(num_classes, pictures)
    if saved is None:
        return before
    failure: DataSetError | None = None
    if processes.is_first:
        try:
            before = saved.gather(num_classes, pictures)
        except DataSetError as error:
            failure = error
    failed = processes.from_first(np.array([failure is not None], np.int64))
    if failed[0]:
        raise failure or DataSetError("the first process refused the saved state, see there")
    counts = processes.from_first(before.counts)
    done = processes.from_first(before.done.astype(np.int64))
    return Counted(counts, done.astype(np.bool_))


def _count(
    segment: Segment,
    pictures: LabelledPictures,
    indices: NDArray[np.int64],
    before: Counted,
    here: Counted,
    saved: SavedCounts | None,
    progress: Progress | None,
    processes: Processes,
    ahead: int,
) -> None:
    """Count this process's pictures into `here`."""
    num_classes = len(here.counts)
    matrix = ConfusionMatrix(num_classes)
    matrix.counts = here.counts  # shared: what is counted is what is saved
    shown = ConfusionMatrix(num_classes, before.counts)
    # Each process adds its share of what was counted before, so that a bar ends at its total.
    earlier = int(before.done.sum()) if processes.count == 1 else 0

    def read(index: np.int64) -> tuple[int, LabelledPicture]:
        place = int(index)
        return place, read_labelled(pictures[place], pictures.label_ids, num_classes)

    waiting: deque[tuple[int, NDArray[np.int16], str]] = deque()

    def images() -> Iterator[NDArray[np.uint8]]:
        for index, picture in reading:
            waiting.append((index, picture.classes, picture.name))
            yield picture.image

    def tell(done: int) -> None:
        if progress is not None:
            shown.counts = before.counts + here.counts
            progress(earlier + done, earlier + len(indices), shown)

    reading = read_ahead(read, indices, ahead=ahead)
    done = 0
    tell(done)
    try:
        for class_map in segment(images()):
            index, classes, name = waiting.popleft()
            _update(matrix, np.asarray(class_map), classes, name)
            here.done[index] = True
            done += 1
            tell(done)
            if saved is not None:
                saved.save(here, processes.rank)
    finally:
        reading.close()
        if saved is not None and done:
            saved.save(here, processes.rank, now=True)
    if done != len(indices):
        raise DataSetError(f"the model gave {done} class maps for {len(indices)} pictures")


def _update(
    matrix: ConfusionMatrix, class_map: NDArray[Any], classes: NDArray[np.int16], name: str
) -> None:
    try:
        matrix.update(class_map, classes)
    except DataSetError as error:
        raise DataSetError(f"{name}: {error}") from error
