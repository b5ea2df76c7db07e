"""Whatever a caller hands over as a labelled data set, as one."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelscope_vitadapter.datasets.data_sets import FilePairs, ListedPairs, table_of_rows
from modelscope_vitadapter.datasets.folders import folders_of_split
from modelscope_vitadapter.datasets.label_ids import COCO_STUFF_182, LabelIds, parse_label_ids
from modelscope_vitadapter.datasets.pairs import TRAIN_IDS, Pair, pair_up
from modelscope_vitadapter.datasets.row_files import SUFFIXES, read_rows
from modelscope_vitadapter.datasets.samples import LabelledPictures
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from modelscope_vitadapter.images.naming import describe
from modelscope_vitadapter.logs import get_logger

CLASSES_FILE = "classes.txt"
"""A class name a line, by id; beside the folders of pictures and label maps."""

COCO_FOLDERS = ("annotations", "stuffthingmaps")
COCO_NAME = re.compile(r"\d{12}")

_EXPECTED = (
    "expected a folder, two folders (images, labels), a table in a file, a list of (image, label) "
    "pairs, or a data set with a column of each (MsDataset, Hugging Face, list of dicts)"
)

logger = get_logger()


def open_labelled(
    source: Any,
    *,
    split: str | None = None,
    label_ids: str | LabelIds | None = None,
    classes: Sequence[str] | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    skip_missing: bool = False,
) -> LabelledPictures:
    """Open a data set; nothing of its pictures is read yet.

    Args:
        source: A folder (see `folders.folders_of_split`), a pair of folders `(images, labels)`, a
            file with a table of paths (see `row_files.read_rows`), a list of `(image, label)` pairs
            in any form, a table (`MsDataset`, a Hugging Face data set, a list of dicts), a dict of
            such tables by split, or an open data set, which stays as it is.
        split: Which part of it; a name of a folder or of a table.
        label_ids: What ids in label maps stand for: a `LabelIds`, `as-is` (class ids; 255 is not
            counted), `reduce-zero` (1 is the first class, 0 is not counted), `coco-stuff-182`
            (COCO-Stuff's original ids). By default `as-is`, but for COCO-Stuff's original label
            maps: those in a folder `stuffthingmaps`, and those that are called as COCO's pictures,
            without `_labelTrainIds`, in `annotations/train2017` or `annotations/val2017`.
        classes: Names of the classes by id; read from `classes.txt` of a folder if None.
        image_column: Of a table, the pictures' column; guessed by its name if None.
        label_column: Of a table, the label maps' column; guessed by its name if None.
        skip_missing: Of folders, leave pictures without a label map out.

    Raises:
        DataSetNotFoundError: A folder or a split does not exist.
        DataSetError: The source is none of these, is empty, or label maps are missing.
    """
    ids = parse_label_ids(label_ids)
    names = None if classes is None else tuple(classes)
    if hasattr(source, "label_ids") and hasattr(source, "__getitem__"):
        opened: LabelledPictures = source
        return opened
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if not _is_table_file(path):
            return _open_root(path, split, ids, names, skip_missing)
        source = read_rows(path)
    if _is_two_folders(source):
        images, labels = Path(source[0]), Path(source[1])
        return _open_folders(images, labels, split, ids, names, skip_missing)
    if isinstance(source, Mapping):
        source = _table_of_split(source, split)
    if isinstance(source, Sequence) and source and not isinstance(source[0], Mapping):
        return _listed(source, ids or LabelIds(), names)
    _check_indexed(source)
    return table_of_rows(
        source,
        image_column=image_column,
        label_column=label_column,
        label_ids=ids or LabelIds(),
        classes=names,
        name=f"the {type(source).__name__}{f' of split {split!r}' if split else ''}",
    )


def has_parts(source: Any) -> bool:
    """Whether `split` tells parts of a source from each other; see `open_labelled`."""
    if isinstance(source, str | os.PathLike):
        return not _is_table_file(Path(source))
    return isinstance(source, Mapping) or _is_two_folders(source)


def _is_table_file(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _check_indexed(source: Any) -> None:
    if hasattr(source, "__len__") and hasattr(source, "__getitem__"):
        return
    hint = "; a data set that can only be iterated over has no length: load it as a whole"
    raise DataSetError(
        f"{describe(source)} is no labelled data set: {_EXPECTED}"
        f"{hint if hasattr(source, '__iter__') else ''}"
    )


def _open_root(
    root: Path,
    split: str | None,
    label_ids: LabelIds | None,
    classes: tuple[str, ...] | None,
    skip_missing: bool,
) -> FilePairs:
    images, labels, found = folders_of_split(root, split)
    pairs = pair_up(images, labels, skip_missing=skip_missing)
    if classes is None:
        classes = read_classes(root / CLASSES_FILE)
    name = f"{root.name}/{found}" if found else root.name
    return FilePairs(pairs, label_ids or _usual_ids(pairs, labels), classes, name, root)


def _open_folders(
    images: Path,
    labels: Path,
    split: str | None,
    label_ids: LabelIds | None,
    classes: tuple[str, ...] | None,
    skip_missing: bool,
) -> FilePairs:
    if split is not None:
        images, labels = images / split, labels / split
    for folder in (images, labels):
        if not folder.is_dir():
            raise DataSetNotFoundError(f"data set folder {str(folder)!r} does not exist")
    pairs = pair_up(images, labels, skip_missing=skip_missing)
    if classes is None:
        classes = read_classes(labels / CLASSES_FILE)
    root = Path(os.path.commonpath([images.absolute(), labels.absolute()]))
    return FilePairs(pairs, label_ids or _usual_ids(pairs, labels), classes, images.name, root)


def _usual_ids(pairs: Sequence[Pair], labels: Path) -> LabelIds:
    """What ids stand for where nothing was said: see `open_labelled`."""
    original = [pair for pair in pairs if not pair.label.stem.endswith(TRAIN_IDS)]
    if not original:
        return LabelIds()
    folders = (labels.name, labels.parent.name)
    coco_names = all(COCO_NAME.fullmatch(pair.label.stem) for pair in original)
    is_coco = "stuffthingmaps" in folders or (
        folders[1] in COCO_FOLDERS and folders[0] in ("train2017", "val2017") and coco_names
    )
    if not is_coco:
        return LabelIds()
    if len(original) < len(pairs):
        raise DataSetError(
            f"{str(labels)!r} holds COCO-Stuff's label maps in both forms, and "
            f"{len(original)} of {len(pairs)} pictures have no {TRAIN_IDS}.png, such as "
            f"{original[0].image.name}: convert all of them, or keep one form"
        )
    logger.info("%s: ids of COCO-Stuff's original 182 classes are mapped to its 171", labels)
    return COCO_STUFF_182


def read_classes(path: Path) -> tuple[str, ...] | None:
    """The names in a `classes.txt`, one a line, or None where there is no such file.

    Raises:
        DataSetError: the file is no text in UTF-8, or a line is empty or there twice.
    """
    if not path.is_file():
        return None
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataSetError(
            f"{str(path)!r} is no text in UTF-8 ({error}); save it as such"
        ) from None
    while lines and not lines[-1].strip():
        lines.pop()
    names = tuple(line.strip() for line in lines)
    if not names or not all(names):
        place = f"line {names.index('') + 1} is empty" if names else "it is empty"
        raise DataSetError(f"{str(path)!r}: {place}; expected the name of a class in each line")
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise DataSetError(f"{str(path)!r} names {sorted(repeated)} more than once")
    return names


def _is_two_folders(source: object) -> bool:
    """Whether a source is `(images, labels)`: a tuple of paths, of which none is a file."""
    return (
        isinstance(source, tuple)
        and len(source) == 2
        and all(isinstance(one, str | os.PathLike) and not Path(one).is_file() for one in source)
    )


def _table_of_split(tables: Mapping[str, Any], split: str | None) -> Any:
    """The table of a split, of what loading a data set without naming a split gives."""
    if split is None and len(tables) == 1:
        return next(iter(tables.values()))
    if split is not None and split in tables:
        return tables[split]
    there = f"the splits {', '.join(map(str, tables))}"
    if split is None:
        raise DataSetError(f"the data set has {there}: choose one with split=")
    raise DataSetNotFoundError(f"the data set has {there}, no {split!r}")


def _listed(
    source: Sequence[Any], label_ids: LabelIds, classes: tuple[str, ...] | None
) -> ListedPairs:
    for index, one in enumerate(source):
        if not isinstance(one, tuple | list) or len(one) != 2:
            raise DataSetError(
                f"element {index} (counted from 0) of the list is {describe(one)}: expected a pair "
                "(image, label)"
            )
    return ListedPairs([(one[0], one[1]) for one in source], label_ids, classes)
