"""Takes a confusion matrix: images through a model, one after the other."""

import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from modelscope_vitadapter.ahead import done_ahead
from modelscope_vitadapter.datasets.dataset import EMPTY, SegmentationDataset
from modelscope_vitadapter.datasets.reading import LabelledImage, read_sample, warn_of_orientation
from modelscope_vitadapter.distributed import (
    first_process_does,
    process_count,
    process_index,
    summed,
)
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.evaluation.metrics import ConfusionMatrix, metrics
from modelscope_vitadapter.evaluation.resume import Counted, SavedCounts

Segment = Callable[[Iterable[NDArray[np.uint8]]], Iterable[NDArray[Any]]]
"""Images `(H, W, 3)` BGR to class maps `(H, W)`, in order; it may ask for some more images before
it gives the first class map."""

READ_AHEAD, READERS = 4, 2
"""Images that are read before the model asks for them, and the threads that read them."""

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
    """Counts how a model's class maps agree with a dataset, or its first `limit` images.

    Images are read when their turn comes and then given up. Several processes share them, and each
    gets the confusion matrix over all. Counts are `saved`, with an interrupt or an error too, and
    gone on from; the caller removes the files when it has the result. The `progress` bar, with the
    time left and the running mIoU, goes to standard error; the first of several processes shows it.

    Raises:
        DataSetError: the dataset is empty; or a file, named in the message, can't be used.
    """
    total = len(dataset)
    if total == 0:
        raise DataSetError(EMPTY)
    before, here = Counted(num_classes, total), Counted(num_classes, total)
    if saved is not None:  # the first process gathers, since that changes the files
        before = first_process_does(lambda: saved.gather(num_classes, total))
    left = np.flatnonzero(~before.done[:limit])
    share = left[process_index() :: process_count()].tolist()
    try:
        _count(segment, dataset, share, before, here, saved, progress)
    finally:
        if saved is not None and here.done.any():
            saved.save(here, process_index(), now=True)
    before.counts += summed(torch.from_numpy(here.counts)).numpy()
    return before


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
    with (
        closing(_answers(segment, dataset, share, here.num_classes)) as answers,
        _bar(before, len(share), show=progress) as bar,
    ):
        excluded, warned = dataset.label_ids.excluded, False
        for class_map, truth in answers:
            try:
                here.update(class_map, truth.classes)
            except DataSetError as error:
                raise DataSetError(f"{truth.name}: {error}") from error
            here.done[truth.number] = True
            if truth.is_ambiguous and not warned:
                warn_of_orientation(truth.name)
                warned = True
            if not bar.disable:
                found = metrics(before.counts + here.counts, excluded)
                text = f"mIoU {100 * found.mIoU:.2f}, aAcc {100 * found.aAcc:.2f}"
                bar.set_postfix_str(text, refresh=False)
            bar.update()
            if saved is not None:
                saved.save(here, process_index())


def _bar(before: Counted, images: int, *, show: bool) -> Any:
    """A bar of this process's images; alone it counts those of earlier runs too."""
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


class Truth(NamedTuple):
    """What is kept of a labelled image while it is segmented."""

    number: int
    classes: NDArray[np.int16]
    name: str
    is_ambiguous: bool


def _answers(
    segment: Segment, dataset: SegmentationDataset, indices: list[int], num_classes: int
) -> Generator[tuple[NDArray[Any], Truth], None, None]:
    """Reads and segments images; yields class map and truth of each."""
    waiting: deque[Truth] = deque()

    def read(index: int) -> LabelledImage:
        return read_sample(dataset[index], dataset.label_ids, num_classes)

    def images() -> Iterator[NDArray[np.uint8]]:
        for index, future in reading:
            labelled = future.result()
            truth = Truth(index, labelled.classes, labelled.name, labelled.is_ambiguous)
            waiting.append(truth)
            yield labelled.image

    with closing(done_ahead(read, indices, threads=READERS, most=READ_AHEAD)) as reading:
        for class_map in segment(images()):
            yield np.asarray(class_map), waiting.popleft()
