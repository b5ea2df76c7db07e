"""Roboflow's export of semantic segmentation masks."""

import csv
from pathlib import Path

from modelscope_vitadapter.datasets.files import subfolders
from modelscope_vitadapter.datasets.label_ids import LabelIds, mapped_ids
from modelscope_vitadapter.datasets.layouts import folders
from modelscope_vitadapter.datasets.layouts.layout import Found
from modelscope_vitadapter.errors import DataSetError

NAME = "roboflow"
LOOK = "train/x.jpg, train/x_mask.png, train/_classes.csv; valid, test"

CLASSES = "_classes.csv"


def splits(root: Path) -> list[str] | None:
    """The folders with a `_classes.csv`."""
    found = [name for name in subfolders(root) if (root / name / CLASSES).is_file()]
    return found or ([] if (root / CLASSES).is_file() else None)


def find(root: Path, split: str | None) -> Found:
    """The part's pairs; values are as the file of the part says, in its order."""
    folder = root / (split or "")
    names, values = _classes(folder / CLASSES)
    as_they_are = values == list(range(len(values)))
    ids = LabelIds() if as_they_are else mapped_ids({v: k for k, v in enumerate(values)})
    return Found(folders.pair_up(folder, folder), names, ids)


def _classes(path: Path) -> tuple[tuple[str, ...], list[int]]:
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))[1:]
        values = [int(row[0]) for row in rows if row]
        return tuple(row[1].strip() for row in rows if row), values
    except (OSError, ValueError, IndexError, csv.Error) as error:
        raise DataSetError(
            f"{str(path)!r} can't be read ({error}); expected lines 'Pixel Value, Class'"
        ) from error
