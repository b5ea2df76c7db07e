"""Takes a confusion matrix: images through a model, one after the other."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modelscope_vitadapter.datasets.dataset import EMPTY, SegmentationDataset
from modelscope_vitadapter.datasets.reading import LabelledImage, read_ahead, read_sample
from modelscope_vitadapter.distributed import (
    first_process_does,
    process_count,
    process_index,
    summed,
)
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.evaluation.confusion import ConfusionMatrix
from modelscope_vitadapter.evaluation.metrics import metrics
from modelscope_vitadapter.evaluation.resume import Counted, SavedCounts

Segment = Callable[[Iterable[NDArray[np.uint8]]], Iterable[NDArray[Any]]]
"""Images `(H, W, 3)` BGR to class maps `(H, W)`, in order; it may ask for some more images before
it gives the first class map."""

READ_AHEAD = 4
"""Images that are read before the model asks for them."""

FILE_SECONDS = 30.0
"""Time between two lines of progress where they go to a file, in which each of them stays."""


def confusion_matrix(
    segment: Segment,
    dataset: SegmentationDataset,
    num_classes: int,
    *,
    limit: int | None = None,
    saved: SavedCounts | None = None,
    progress: bool = False,
) -> ConfusionMatrix:
    """Counts how a model's class maps agree with a dataset.

    Several processes share the images; each of these is counted by one of them.

    Args:
        segment: the model.
        dataset: its images are read when their turn comes and then given up.
        num_classes: K.
        limit: only the first so many images.
        saved: where counts are saved to, and gone on from. With an interrupt or an error they are
            saved too. The caller removes the files when it has the result.
        progress: show a bar with the time left and the running mIoU on standard error; of several
            processes the first does, of its share.

    Returns:
        The confusion matrix over all processes, in each of them.

    Raises:
        DataSetError: the dataset is empty; or a file, named in the message, can't be used.
    """
    total = len(dataset)
    if total == 0:
        raise DataSetError(EMPTY)
    before = Counted.nothing(num_classes, total)
    if saved is not None:  # the first process gathers, since that changes the files
        before = first_process_does(lambda: saved.gather(num_classes, total))
    left = np.flatnonzero(~before.done[:limit])
    share = left[process_index() :: process_count()].tolist()
    here = Counted.nothing(num_classes, total)
    try:
        _count(segment, dataset, share, before, here, saved, progress)
    finally:
        if saved is not None and here.done.any():
            saved.save(here, process_index(), now=True)
    matrix = ConfusionMatrix(num_classes)
    matrix.counts = before.counts + summed(torch.from_numpy(here.counts)).numpy()
    return matrix


def _count(
    segment: Segment,
    dataset: SegmentationDataset,
    share: list[int],
    before: Counted,
    here: Counted,
    saved: SavedCounts | None,
    progress: bool,
) -> None:
    """Counts this process's share of the images into `here`."""
    matrix = ConfusionMatrix(len(here.counts))
    matrix.counts = here.counts  # shared: what is counted is what is saved
    with (
        closing(_answers(segment, dataset, share, matrix.num_classes)) as answers,
        _bar(before, len(share), show=progress) as bar,
    ):
        for index, class_map, classes, name in answers:
            try:
                matrix.update(class_map, classes)
            except DataSetError as error:
                raise DataSetError(f"{name}: {error}") from error
            here.done[index] = True
            if not bar.disable:
                found = metrics(before.counts + here.counts)
                text = f"mIoU {100 * found.mIoU:.2f}, aAcc {100 * found.aAcc:.2f}"
                bar.set_postfix_str(text, refresh=False)
            bar.update()
            if saved is not None:
                saved.save(here, process_index())
    if not here.done[share].all():
        given = int(here.done.sum())
        raise DataSetError(f"the model gave {given} class maps for {len(share)} images")


def _bar(before: Counted, images: int, *, show: bool) -> Any:
    """A bar of this process's images; alone it counts those of earlier runs too."""
    from tqdm import tqdm

    count = process_count()
    earlier = int(before.done.sum()) if count == 1 else 0
    return tqdm(
        desc="evaluating" if count == 1 else f"evaluating (process 0 of {count}, its share)",
        initial=earlier,  # those of an earlier run don't count for the speed
        total=earlier + images,
        unit="image",
        mininterval=0.1 if sys.stderr.isatty() else FILE_SECONDS,
        dynamic_ncols=True,
        file=sys.stderr,
        disable=not show or process_index() != 0,
    )


def _answers(
    segment: Segment, dataset: SegmentationDataset, indices: list[int], num_classes: int
) -> Generator[tuple[int, NDArray[Any], NDArray[np.int16], str], None, None]:
    """Reads and segments images; yields index, class map, true classes and name of each."""
    waiting: deque[tuple[int, NDArray[np.int16], str]] = deque()

    def read(index: int) -> tuple[int, LabelledImage]:
        return index, read_sample(dataset[index], dataset.label_ids, num_classes)

    def images() -> Iterator[NDArray[np.uint8]]:
        for index, labelled in reading:
            waiting.append((index, labelled.classes, labelled.name))
            yield labelled.image

    with closing(read_ahead(read, indices, ahead=READ_AHEAD)) as reading:
        for class_map in segment(images()):
            index, classes, name = waiting.popleft()
            yield index, np.asarray(class_map), classes, name
