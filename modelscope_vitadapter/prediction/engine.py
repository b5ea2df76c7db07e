"""Segments inputs in this process; reading, network and writing overlap."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from numpy.typing import NDArray

from modelscope_vitadapter.ahead import done_ahead
from modelscope_vitadapter.errors import ImageError
from modelscope_vitadapter.images.options import ReadOptions
from modelscope_vitadapter.images.reading import read_image
from modelscope_vitadapter.images.transforms import NetworkInput
from modelscope_vitadapter.inference.memory import check_image_fits
from modelscope_vitadapter.inference.results import Prediction
from modelscope_vitadapter.prediction.job import Job, Work, failure
from modelscope_vitadapter.prediction.manifest import Row
from modelscope_vitadapter.prediction.video import segment_video
from modelscope_vitadapter.prediction.writers import Answer, class_shares, save, wanted_for
from modelscope_vitadapter.segmenter import Segmenter

READERS, READ_AHEAD = 2, 4
"""Threads that read images, and images that are read before the model asks for them."""

WRITERS, WRITE_BEHIND = 2, 4
"""Threads that draw and write, and images that may wait for them."""


def segment_items(segmenter: Segmenter, work: Iterable[Work], job: Job) -> Iterator[Row]:
    """Segments inputs and saves the answers; reading, network and writing overlap.

    Yields:
        The row of each input, when its outputs are on the disk; of those that fail by their own
        fault, with the error.

    Raises:
        OSError: an output can't be written.
    """
    videos: deque[Work] = deque()
    with ThreadPoolExecutor(WRITERS) as writers:
        stream = iter(work)
        while True:
            images = _until_video(stream, videos)
            yield from _segment_images(segmenter, images, job, writers)
            if not videos:
                return
            yield segment_video(segmenter, videos.popleft(), job)


def _until_video(work: Iterator[Work], videos: deque[Work]) -> Iterator[Work]:
    """The images up to the next video, which is put aside."""
    for one in work:
        if one[0].is_video:
            videos.append(one)
            return
        yield one


@dataclass
class _Pending:
    """An image on its way through the network."""

    work: Work
    image: NDArray[Any]
    started: float


def _segment_images(
    segmenter: Segmenter, work: Iterable[Work], job: Job, writers: ThreadPoolExecutor
) -> Iterator[Row]:
    waiting: deque[_Pending] = deque()
    names: list[str] = []  # by the number of the input that the model has
    failed: deque[Row] = deque()
    writing: deque[Future[Row]] = deque()

    def inputs() -> Iterator[NetworkInput]:
        for one, reading in reader:
            started = time.monotonic()
            try:
                image = reading.result()
                prepared = segmenter.prepare(image)
            except ImageError as error:
                failed.append(failure(one, job, error))
                continue
            waiting.append(_Pending(one, image, started))
            names.append(one[1])
            yield prepared

    wanted = wanted_for(job.save, job.threshold, job.folder, names.__getitem__)
    read = partial(_read, options=job.options)
    with closing(done_ahead(read, work, threads=READERS, most=READ_AHEAD)) as reader:
        for prediction in segmenter.predict(inputs(), wanted=wanted):
            pending = waiting.popleft()
            writing.append(writers.submit(_finished, segmenter, pending, prediction, job))
            while failed:
                yield failed.popleft()
            while len(writing) > WRITE_BEHIND or (writing and writing[0].done()):
                yield writing.popleft().result()
    yield from failed
    while writing:
        yield writing.popleft().result()


def _read(work: Work, options: ReadOptions) -> NDArray[Any]:
    return read_image(work[0].source, options=options, check_size=check_image_fits)


def _finished(segmenter: Segmenter, pending: _Pending, prediction: Prediction, job: Job) -> Row:
    """Saves an answer; its row."""
    item, name = pending.work
    answer = Answer.of(prediction, pending.image, segmenter.config, job.keep, job.threshold)
    source = PurePosixPath(item.place).name
    outputs = save(answer, name, job.folder, job.save, source=source, drawing=job.drawing)
    return Row(
        item.input,
        name,
        item.state(),
        job.key,
        job.model,
        outputs,
        answer.size,
        class_shares(answer.counts, answer.classes, answer.class_map.size),
        round(time.monotonic() - pending.started, 4),
    )
