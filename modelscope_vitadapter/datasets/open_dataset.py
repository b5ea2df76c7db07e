"""Whatever a caller hands over as a dataset, as one."""

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
    if _is_folders(source):
        return _open_files(source, split, ids, names, skip_missing)
    if isinstance(source, str | os.PathLike):
        source = read_rows(Path(source))
    elif isinstance(source, Mapping):
        source = _table_of_split(source, split)
    if isinstance(source, Sequence) and source and not isinstance(source[0], Mapping):
        for index, one in enumerate(source):
            if not isinstance(one, tuple | list) or len(one) != 2:
                text = f"element {index} (counted from 0) of the list is {describe(one)}"
                raise DataSetError(f"{text}: expected a pair (image, label)")
        return PairedDataset(source, ids or LabelIds(), names)
    _check_indexed(source)
    name = f"the {type(source).__name__}{f' of split {split!r}' if split else ''}"
    table = table_pairs(source, image_column, label_column, name)
    return PairedDataset(
        table, ids or LabelIds(), names, name, element="row", fingerprint=table.fingerprint
    )


def has_splits(source: Any) -> bool:
    """Whether `split` tells parts of a source from each other; see `open_dataset`."""
    return isinstance(source, Mapping) or _is_folders(source)


def _is_folders(source: object) -> bool:
    """Whether a source is a path, of no table, or `(images, labels)`, of which none is a file."""
    if isinstance(source, tuple) and len(source) == 2:
        return all(isinstance(one, str | os.PathLike) and not Path(one).is_file() for one in source)
    if not isinstance(source, str | os.PathLike):
        return False
    return not (Path(source).suffix.lower() in SUFFIXES and Path(source).is_file())


def _open_files(
    source: Any,
    split: str | None,
    label_ids: LabelIds | None,
    classes: tuple[str, ...] | None,
    skip_missing: bool,
) -> PairedDataset:
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
    ids = label_ids or usual_label_ids(pairs, labels)
    classes = classes or read_classes(classes_file)
    return PairedDataset(pairs, ids, classes, name, element=None, root=root)


def _table_of_split(tables: Mapping[str, Any], split: str | None) -> Any:
    """The table of a split, of what loading a dataset without naming a split gives."""
    if split is None and len(tables) == 1:
        return next(iter(tables.values()))
    if split is not None and split in tables:
        return tables[split]
    there = f"the dataset has the splits {', '.join(map(str, tables))}"
    if split is None:
        raise DataSetError(f"{there}: choose one with split=")
    raise DataSetNotFoundError(f"{there}, no {split!r}")


def _check_indexed(source: Any) -> None:
    if hasattr(source, "__len__") and hasattr(source, "__getitem__"):
        return
    hint = ""
    if hasattr(source, "__iter__"):
        hint = "; a dataset that can only be iterated over has no length: load it as a whole"
    raise DataSetError(
        f"{describe(source)} is no labelled dataset: expected a folder, two folders (images, "
        "labels), a table in a file, a list of (image, label) pairs, or a dataset with a column "
        f"of each (MsDataset, Hugging Face, list of dicts){hint}"
    )


def read_classes(path: Path) -> tuple[str, ...] | None:
    """The names in a `classes.txt`, one a line, or None where there is no such file.

    Raises:
        DataSetError: the file is no text in UTF-8, or a line is empty or there twice.
    """
    if not path.is_file():
        return None
    try:
        names = tuple(map(str.strip, path.read_text("utf-8-sig").rstrip().split("\n")))
    except UnicodeDecodeError as error:
        raise DataSetError(f"{str(path)!r} is no text in UTF-8 ({error}); save it so") from None
    for number, name in enumerate(names):
        if not name or name in names[:number]:
            what = f"names {name!r} again" if name else "is empty"
            raise DataSetError(
                f"{str(path)!r}: line {number + 1} {what}; expected another class in each line"
            )
    return names
