"""Looks through a whole dataset before it is worked with."""

from __future__ import annotations

import os

from modelscope_vitadapter.datasets.dataset import EMPTY, SegmentationDataset
from modelscope_vitadapter.datasets.label_ids import IGNORED
from modelscope_vitadapter.datasets.label_maps import class_table
from modelscope_vitadapter.datasets.reading import read_ahead, read_sample
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.validation import LISTED

MAX_THREADS = 8
"""Threads that read at most; as a rule there are as many as processors."""


def check_dataset(dataset: SegmentationDataset, num_classes: int) -> None:
    """Reads every image and label map once and reports what is wrong with any of them.

    Args:
        dataset: what is to be worked with.
        num_classes: K.

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

    threads = min(os.cpu_count() or 1, MAX_THREADS)
    outcomes = list(read_ahead(look_at, range(total), ahead=2 * threads, threads=threads))
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
