"""All of a dataset, or some of it, looked at before it is used: files, sizes, ids."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from modelscope_vitadapter.datasets.dataset import EMPTY, SegmentationDataset, classes_of
from modelscope_vitadapter.datasets.id_counts import FEW_CLASSES, IdCounts, Oddities, odd_ids
from modelscope_vitadapter.datasets.label_ids import IGNORED
from modelscope_vitadapter.datasets.label_maps import class_table
from modelscope_vitadapter.datasets.reading import read_ids, read_sample, warn_of_orientation
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.hints import option
from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.validation import LISTED

MAX_THREADS = 8
"""Threads that check a dataset at most; as a rule there are as many as processors."""

SCANNED = 20
"""Label maps that are looked at before an evaluation."""


def check_dataset(dataset: SegmentationDataset, num_classes: int, *, strict: bool = True) -> None:
    """Reads every image and label map once and reports what is wrong with any of them.

    Args:
        dataset: what is checked.
        num_classes: K.
        strict: refuse ids that can't be meant, see `odd_ids`; else they are warned of.

    Raises:
        DataSetError: the dataset is empty, has no labelled pixel at all, holds ids that can't be
            meant, or lists the problems by file.
    """
    total = len(dataset)
    if total == 0:
        raise DataSetError(EMPTY)
    class_table(dataset.label_ids, num_classes)  # what is wrong with all of them is said once
    outcomes = look_at_all(dataset, range(total), num_classes)
    problems = [one for one in outcomes if isinstance(one, str)]
    if problems:
        lines = [f"{len(problems)} of {total} labelled images can't be used:", *problems[:LISTED]]
        if len(problems) > LISTED:
            lines.append(f"and {len(problems) - LISTED} others")
        raise DataSetError("\n  ".join(lines))
    seen = [one for one in outcomes if not isinstance(one, str)]
    if not any(one.is_labelled for one in seen):
        raise DataSetError(
            f"none of the {total} label maps holds a class, only ids that are not counted: give "
            f"another folder of label maps, or say what their ids mean with {option('label_ids')}"
        )
    turned = next((one.name for one in seen if one.is_ambiguous), None)
    if turned is not None:
        warn_of_orientation(turned)
    odd = oddities(dataset, IdCounts.joined([one.counts for one in seen]), num_classes)
    if odd.cannot_be_meant and strict:
        raise DataSetError("\n  ".join(odd.all))
    for text in odd.all:
        get_logger().warning("%s", text)


@dataclass(frozen=True)
class Look:
    """What was seen of a labelled image."""

    name: str
    counts: IdCounts
    is_labelled: bool
    is_ambiguous: bool
    size: tuple[int, int]


def look_at_all(
    dataset: SegmentationDataset, indices: Sequence[int], num_classes: int
) -> list[Look | str]:
    """Reads some labelled images, in threads; of each what was seen, or what is wrong."""

    def look_at(index: int) -> Look | str:
        try:
            found = read_sample(dataset[index], dataset.label_ids, num_classes)
        except MemoryError:
            raise
        except DataSetError as error:
            return str(error)
        except Exception as error:  # what a dataset of others raises when it is asked for a row
            return f"image {index} (counted from 0): {type(error).__name__}: {error}"
        counts = IdCounts()
        counts.add(found.ids, found.name)
        is_labelled = bool((found.classes != IGNORED).any())
        height, width = found.classes.shape
        return Look(found.name, counts, is_labelled, found.is_ambiguous, (height, width))

    with ThreadPoolExecutor(min(os.cpu_count() or 1, MAX_THREADS)) as pool:
        return list(pool.map(look_at, indices))


def oddities(dataset: SegmentationDataset, counts: IdCounts, num_classes: int) -> Oddities:
    """What is odd about the ids of label maps that were looked at."""
    return odd_ids(
        counts,
        dataset.label_ids,
        num_classes,
        classes=classes_of(dataset),
        are_told=getattr(dataset, "ids_are_told", True),
    )


def warn_of_odd_ids(dataset: SegmentationDataset, num_classes: int, count: int) -> None:
    """Looks at the first of `count` label maps before a dataset is evaluated, and warns.

    What can't be read is passed over: it is told when its turn comes. Of many classes some are
    absent from a few images, which is no reason to warn.
    """
    counts = IdCounts()
    for index in range(min(count, SCANNED)):
        try:
            sample = dataset[index]
            counts.add(read_ids(sample, dataset.label_ids), sample.name)
        except Exception:  # of any dataset and any file
            continue
    odd = oddities(dataset, counts, num_classes)
    absent = odd.absent if num_classes <= FEW_CLASSES else ()
    for text in odd.cannot_be_meant + odd.perhaps_meant + absent:
        get_logger().warning("%s", text)
