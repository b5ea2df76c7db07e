"""Whatever a caller hands over as a dataset, as one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelscope_vitadapter.datasets.dataset import PairedDataset, SegmentationDataset
from modelscope_vitadapter.datasets.folders import folders_of_split, pair_up, usual_label_ids
from modelscope_vitadapter.datasets.label_ids import LabelIds, parse_label_ids
from modelscope_vitadapter.datasets.tables import SUFFIXES, read_rows, table_pairs
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from modelscope_vitadapter.images.naming import describe

CLASSES_FILE = "classes.txt"
"""A class name a line, by id; beside the folders of images and label maps."""

_EXPECTED = (
    "expected a folder, two folders (images, labels), a table in a file, a list of (image, label) "
    "pairs, or a dataset with a column of each (MsDataset, Hugging Face, list of dicts)"
)


def open_dataset(
    source: Any,
    *,
    split: str | None = None,
    label_ids: str | LabelIds | None = None,
    classes: Sequence[str] | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    skip_missing: bool = False,
) -> SegmentationDataset:
    """Opens a dataset; nothing of its images is read yet.

    Args:
        source: a folder (see `folders.folders_of_split`), a pair of folders `(images, labels)`, a
            file with a table of paths (see `tables.read_rows`), a list of `(image, label)` pairs
            in any form, a table (`MsDataset`, a Hugging Face dataset, a list of dicts), a dict of
            such tables by split, or an open dataset, which stays as it is.
        split: which part of it; a name of a folder or of a table.
        label_ids: what ids in label maps stand for: a `LabelIds`, `as-is` (class ids; 255 is not
            counted), `reduce-zero` (1 is the first class, 0 is not counted), `coco-stuff-182`
            (COCO-Stuff's original ids). By default `as-is`, but for COCO-Stuff's original label
            maps, see `folders.usual_label_ids`.
        classes: names of the classes by id; read from `classes.txt` of a folder if None.
        image_column: of a table, the images' column; guessed by its name if None.
        label_column: of a table, the label maps' column; guessed by its name if None.
        skip_missing: of folders, leave images without a label map out.

    Raises:
        DataSetNotFoundError: a folder or a split does not exist.
        DataSetError: the source is none of these, is empty, or label maps are missing.
    """
    if hasattr(source, "label_ids") and hasattr(source, "__getitem__"):
        opened: SegmentationDataset = source
        return opened
    ids = parse_label_ids(label_ids)
    names = None if classes is None else tuple(classes)
    if _is_folder(source) or _is_two_folders(source):
        return _open_files(source, split, ids, names, skip_missing)
    if isinstance(source, str | os.PathLike):
        source = read_rows(Path(source))
    elif isinstance(source, Mapping):
        source = _table_of_split(source, split)
    if isinstance(source, Sequence) and source and not isinstance(source[0], Mapping):
        return PairedDataset(_checked_pairs(source), ids or LabelIds(), names)
    _check_indexed(source)
    name = f"the {type(source).__name__}{f' of split {split!r}' if split else ''}"
    table = table_pairs(source, image_column, label_column, name)
    return PairedDataset(
        table, ids or LabelIds(), names, name, element="row", fingerprint=table.fingerprint
    )


def has_splits(source: Any) -> bool:
    """Whether `split` tells parts of a source from each other; see `open_dataset`."""
    return _is_folder(source) or isinstance(source, Mapping) or _is_two_folders(source)


def _is_folder(source: Any) -> bool:
    """Whether a source is a path, and of no table."""
    if not isinstance(source, str | os.PathLike):
        return False
    path = Path(source)
    return not (path.suffix.lower() in SUFFIXES and path.is_file())


def _is_two_folders(source: object) -> bool:
    """Whether a source is `(images, labels)`: a tuple of paths, of which none is a file."""
    return (
        isinstance(source, tuple)
        and len(source) == 2
        and all(isinstance(one, str | os.PathLike) and not Path(one).is_file() for one in source)
    )


def _open_files(
    source: Any,
    split: str | None,
    label_ids: LabelIds | None,
    classes: tuple[str, ...] | None,
    skip_missing: bool,
) -> PairedDataset:
    """Opens a folder, or a pair of folders."""
    if isinstance(source, tuple):
        images, labels = (Path(one, split or "") for one in source)
        root = Path(os.path.commonpath([images.absolute(), labels.absolute()]))
        name, classes_file = images.name, labels / CLASSES_FILE
    else:
        root = Path(source)
        images, labels, found = folders_of_split(root, split)
        name = f"{root.name}/{found}" if found else root.name
        classes_file = root / CLASSES_FILE
    pairs = pair_up(images, labels, skip_missing=skip_missing)
    return PairedDataset(
        pairs,
        label_ids or usual_label_ids(pairs, labels),
        classes or read_classes(classes_file),
        name,
        element=None,
        root=root,
    )


def _table_of_split(tables: Mapping[str, Any], split: str | None) -> Any:
    """The table of a split, of what loading a dataset without naming a split gives."""
    if split is None and len(tables) == 1:
        return next(iter(tables.values()))
    if split is not None and split in tables:
        return tables[split]
    there = f"the splits {', '.join(map(str, tables))}"
    if split is None:
        raise DataSetError(f"the dataset has {there}: choose one with split=")
    raise DataSetNotFoundError(f"the dataset has {there}, no {split!r}")


def _checked_pairs(source: Sequence[Any]) -> list[tuple[object, object]]:
    for index, one in enumerate(source):
        if not isinstance(one, tuple | list) or len(one) != 2:
            raise DataSetError(
                f"element {index} (counted from 0) of the list is {describe(one)}: expected a pair "
                "(image, label)"
            )
    return [(image, label) for image, label in source]


def _check_indexed(source: Any) -> None:
    if hasattr(source, "__len__") and hasattr(source, "__getitem__"):
        return
    hint = "; a dataset that can only be iterated over has no length: load it as a whole"
    raise DataSetError(
        f"{describe(source)} is no labelled dataset: {_EXPECTED}"
        f"{hint if hasattr(source, '__iter__') else ''}"
    )


def read_classes(path: Path) -> tuple[str, ...] | None:
    """The names in a `classes.txt`, one a line, or None where there is no such file.

    Raises:
        DataSetError: the file is no text in UTF-8, or a line is empty or there twice.
    """
    if not path.is_file():
        return None
    try:
        text = path.read_text(encoding="utf-8-sig").rstrip()
    except UnicodeDecodeError as error:
        problem = f"is no text in UTF-8 ({error}); save it as such"
        raise DataSetError(f"{str(path)!r} {problem}") from None
    names = tuple(line.strip() for line in text.split("\n"))
    if "" in names:
        place = f"line {names.index('') + 1} is empty" if text else "it is empty"
        raise DataSetError(f"{str(path)!r}: {place}; expected the name of a class in each line")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataSetError(f"{str(path)!r} names {repeated} more than once")
    return names
