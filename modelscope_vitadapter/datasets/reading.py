"""Samples, read: an image and the class of each of its pixels."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.datasets.dataset import Sample
from modelscope_vitadapter.datasets.label_ids import LabelIds
from modelscope_vitadapter.datasets.label_maps import ids_to_classes, read_label_map
from modelscope_vitadapter.errors import (
    DataSetError,
    DataSetNotFoundError,
    ImageError,
    ImageNotFoundError,
)
from modelscope_vitadapter.images.reading import read_image

Result = TypeVar("Result")


@dataclass(frozen=True)
class LabelledImage:
    """An image with a class for each pixel.

    Attributes:
        image: `(H, W, 3)` BGR, 0 to 255.
        classes: `(H, W)` class ids 0..K-1, `IGNORED` elsewhere.
        name: for messages.
    """

    image: NDArray[np.uint8]
    classes: NDArray[np.int16]
    name: str


def read_sample(sample: Sample, label_ids: LabelIds, num_classes: int) -> LabelledImage:
    """Reads an image and its label map.

    The orientation of EXIF is applied to images that are given as files or bytes, as everywhere
    in this package, and never to label maps: those are maps of the upright image.

    Args:
        sample: what to read.
        label_ids: what the ids in the label map stand for.
        num_classes: K.

    Raises:
        DataSetNotFoundError: a file does not exist.
        DataSetError: one of the two can't be read, their sizes differ, or the label map holds an
            id that belongs to no class. The message names the file.
        ImageMemoryError: there is too little memory; that is not the file's fault.
    """
    ids = read_label_map(sample.label, sample.label_name)
    classes = ids_to_classes(ids, label_ids, num_classes, sample.label_name)
    image = _read_image(sample)
    if image.shape[:2] != classes.shape:
        hint = ""
        if image.shape[1::-1] == classes.shape:
            hint = (
                ". If the image's EXIF orientation turns it by a quarter, turn the label map "
                "likewise, or remove the tag from the image"
            )
        raise DataSetError(
            f"{sample.label_name} has height {classes.shape[0]} and width {classes.shape[1]}, its "
            f"image {sample.name} has height {image.shape[0]} and width {image.shape[1]}; "
            f"expected the same{hint}"
        )
    return LabelledImage(image, classes, sample.name)


def _read_image(sample: Sample) -> NDArray[np.uint8]:
    try:
        image = read_image(sample.image)
    except MemoryError:
        raise
    except ImageError as error:
        kind = DataSetNotFoundError if isinstance(error, ImageNotFoundError) else DataSetError
        text = str(error)
        raise kind(text if sample.name in text else f"{sample.name}: {text}") from error
    if image.dtype != np.uint8:
        image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return image


def read_ahead(
    work: Callable[[int], Result], indices: Iterable[int], *, ahead: int, threads: int = 2
) -> Generator[Result, None, None]:
    """Yields `work(index)` for each index, in order, worked on before it is asked for.

    Args:
        work: called in a thread; what it raises is raised where its result would come.
        indices: what to work on.
        ahead: results that are held at most before they are asked for.
        threads: how many work.

    Yields:
        The results. When the generator is closed, what waits is given up.
    """
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for index in indices:
            waiting.append(pool.submit(work, index))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
