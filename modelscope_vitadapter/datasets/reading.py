"""Samples, read: an image and the class of each of its pixels; all of a dataset, for a check."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.datasets.dataset import EMPTY, Sample, SegmentationDataset
from modelscope_vitadapter.datasets.label_ids import IGNORED, LabelIds
from modelscope_vitadapter.datasets.label_maps import class_table, ids_to_classes, read_label_map
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError, ImageError
from modelscope_vitadapter.images.reading import read_image
from modelscope_vitadapter.validation import LISTED

MAX_THREADS = 8
"""Threads that check a dataset at most; as a rule there are as many as processors."""


@dataclass(frozen=True)
class LabelledImage:
    """An image with a class for each pixel."""

    image: NDArray[np.uint8]  # `(H, W, 3)` BGR, 0 to 255
    classes: NDArray[np.int16]  # `(H, W)` class ids 0..K-1, `IGNORED` elsewhere
    name: str  # for messages


def read_sample(sample: Sample, label_ids: LabelIds, num_classes: int) -> LabelledImage:
    """Reads an image and its label map.

    The orientation of EXIF is applied to images that are given as files or bytes, as everywhere
    in this package, and never to label maps: those are maps of the upright image.

    Raises:
        DataSetNotFoundError: a file does not exist.
        DataSetError: one of the two can't be read, their sizes differ, or the label map holds an
            id that belongs to no class. The message names the file.
        ImageMemoryError: there is too little memory; that is not the file's fault.
    """
    ids = read_label_map(sample.label, sample.label_name)
    classes = ids_to_classes(ids, label_ids, num_classes, sample.label_name)
    try:
        image = read_image(sample.image)
    except MemoryError:
        raise
    except ImageError as error:
        kind = DataSetNotFoundError if isinstance(error, FileNotFoundError) else DataSetError
        text = str(error)
        raise kind(text if sample.name in text else f"{sample.name}: {text}") from error
    if image.dtype != np.uint8:
        image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    if image.shape[:2] != classes.shape:
        raise DataSetError(
            f"{sample.label_name} has height {classes.shape[0]} and width {classes.shape[1]}, its "
            f"image {sample.name} has height {image.shape[0]} and width {image.shape[1]}, upright "
            "as its EXIF data says; expected the same: resize or turn the label map"
        )
    return LabelledImage(image, classes, sample.name)


def check_dataset(dataset: SegmentationDataset, num_classes: int) -> None:
    """Reads every image and label map once and reports what is wrong with any of them.

    Raises:
        DataSetError: the dataset is empty, has no labelled pixel at all, or lists the problems by
            file.
    """
    total = len(dataset)
    if total == 0:
        raise DataSetError(EMPTY)
    class_table(dataset.label_ids, num_classes)  # what is wrong with all of them is said once

    def look_at(index: int) -> bool | str:
        """Whether any pixel is labelled; or what is wrong."""
        try:
            found = read_sample(dataset[index], dataset.label_ids, num_classes)
        except MemoryError:
            raise
        except DataSetError as error:
            return str(error)
        except Exception as error:  # what a dataset of others raises when it is asked for a row
            return f"image {index} (counted from 0): {type(error).__name__}: {error}"
        return bool((found.classes != IGNORED).any())

    with ThreadPoolExecutor(min(os.cpu_count() or 1, MAX_THREADS)) as pool:
        outcomes = list(pool.map(look_at, range(total)))
    problems = [one for one in outcomes if isinstance(one, str)]
    if problems:
        lines = [f"{len(problems)} of {total} labelled images can't be used:", *problems[:LISTED]]
        if len(problems) > LISTED:
            lines.append(f"and {len(problems) - LISTED} others")
        raise DataSetError("\n  ".join(lines))
    if not any(outcomes):
        raise DataSetError(
            f"none of the {total} label maps holds a class, only ids that are not counted: give "
            "another folder of label maps, or say with label_ids what their ids mean"
        )
