"""Whatever a caller hands over as a dataset, as one."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelscope_vitadapter.datasets import hugging_face
from modelscope_vitadapter.datasets.class_files import read_classes
from modelscope_vitadapter.datasets.dataset import PairedDataset, SegmentationDataset
from modelscope_vitadapter.datasets.files import chosen_split, subfolders
from modelscope_vitadapter.datasets.label_ids import LabelIds, parse_ids, parse_label_ids, whole
from modelscope_vitadapter.datasets.layouts.registry import recognise
from modelscope_vitadapter.datasets.on_disk import opened_files
from modelscope_vitadapter.datasets.options import DataOptions, data_options
from modelscope_vitadapter.datasets.palettes import read_palette
from modelscope_vitadapter.datasets.sources import Opened
from modelscope_vitadapter.datasets.tables import TABLE_SUFFIXES, read_rows, table_pairs
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from modelscope_vitadapter.hints import option
from modelscope_vitadapter.images.naming import describe
from modelscope_vitadapter.images.options import ReadOptions

__all__ = ["has_splits", "open_dataset", "read_classes"]


def open_dataset(source: Any, *, split: str | None = None, **options: Any) -> SegmentationDataset:
    """Opens a dataset; nothing of its images is read yet.

    Args:
        source: a folder in one of the layouts of `layouts.registry`, a pair of folders `(images,
            labels)`, a file with a table of paths (see `tables.read_rows`) or of annotations, a
            list of `(image, label)` pairs in any form, a table (`MsDataset`, a Hugging Face
            dataset, a list of dicts), a dict of such tables by split, a dataset of PyTorch whose
            elements are `(image, label)`, or an open dataset, which stays as it is.
        split: which part of it; `val` also stands for `validation`, and the like.
        **options: see `options.DataOptions`.

    Raises:
        DataSetNotFoundError: a folder or a split does not exist.
        DataSetError: the source is none of these, is empty, or label maps are missing.
    """
    given = data_options(options)
    if hasattr(source, "label_ids") and hasattr(source, "__getitem__"):
        said = [name for name in options if str(options[name]) not in ("None", "False", "apply")]
        if said:
            raise DataSetError(f"{option(said[0])} has no effect on a dataset that is open already")
        dataset: SegmentationDataset = source
        return dataset
    if isinstance(given.classes, str):
        raise DataSetError(f"classes={given.classes!r}: expected a list of names")
    opened = _opened(source, split, given)
    classes = opened.classes if given.classes is None else tuple(given.classes)
    label_ids, names = _label_ids(opened, given)
    classes = classes or names
    excluded = _excluded(given.exclude_classes, classes)
    if excluded:
        label_ids = replace(label_ids, excluded=(*label_ids.excluded, *excluded))
    return PairedDataset(
        opened.pairs,
        label_ids,
        classes,
        opened.name,
        opened.element,
        opened.root,
        opened.fingerprint,
        ReadOptions(given.max_pixels, given.exif, given.bands, given.value_range),
        opened.layout,
        ids_are_told=any(
            one is not None
            for one in (given.label_ids, given.ignore_ids, given.palette, opened.label_ids)
        ),
    )


def parts_of(source: Any, **options: Any) -> list[str]:
    """The names of a source's parts, as `split` takes them; none where it has no parts.

    Raises:
        DataSetError: it can't be told, see `layouts.registry.recognise`.
    """
    given = data_options(options)
    if given.list is not None or given.pairs is not None:
        return []
    if isinstance(source, Mapping):
        return [str(one) for one in source]
    if not _is_folders(source):
        return []
    if isinstance(source, tuple):
        names = [set(subfolders(Path(one))) for one in source]
        return sorted(set.intersection(*names))
    if hugging_face.is_saved(Path(source)):
        return parts_of(hugging_face.load_saved(Path(source)), **options)
    return recognise(Path(source), given.layout)[2]


def has_splits(source: Any, **options: Any) -> bool:
    """Whether `split` tells parts of a source from each other; see `open_dataset`."""
    given = data_options(options)
    if given.pairs is not None and any("{split}" in one for one in given.pairs):
        return True
    try:
        return bool(parts_of(source, **options))
    except DataSetError:  # told when it is opened
        return True


def _is_folders(source: object) -> bool:
    """Whether a source is a path of a folder, or `(images, labels)`, of which none is a file."""
    if isinstance(source, tuple) and len(source) == 2:
        return all(isinstance(one, str | os.PathLike) and not Path(one).is_file() for one in source)
    if not isinstance(source, str | os.PathLike):
        return False
    return not Path(source).is_file() and Path(source).suffix.lower() not in TABLE_SUFFIXES


def _opened(source: Any, split: str | None, given: DataOptions) -> Opened:
    if _is_folders(source) or isinstance(source, str | os.PathLike):
        is_table = not isinstance(source, tuple) and Path(source).suffix.lower() in TABLE_SUFFIXES
        if is_table:
            tables: Any = read_rows(Path(source))
        elif not isinstance(source, tuple) and hugging_face.is_saved(Path(source)):
            tables = hugging_face.load_saved(Path(source))
        else:
            return opened_files(source, split, given)
        if split is not None and not isinstance(tables, Mapping):
            raise DataSetNotFoundError(f"{str(source)!r} has no split {split!r}: it is one table")
        source = tables
    _refuse_files(source)
    for name in ("list", "pairs", "layout"):
        if getattr(given, name) is not None:
            raise DataSetError(
                f"{option(name)}: expected only with a folder or a file of annotations, not with a "
                "table or what lies in memory"
            )
    if isinstance(source, Mapping):
        source = _table_of_split(source, split)
    source = hugging_face.indexed(source)
    _check_indexed(source)
    if len(source) and _holds_pairs(source):
        return Opened(source)
    name = f"the {type(source).__name__}{f' of split {split!r}' if split else ''}"
    table = table_pairs(source, given.image_column, given.label_column, name)
    return Opened(table, name=name, element="row", fingerprint=table.fingerprint)


def _refuse_files(source: Any) -> None:
    """Says that a pair of paths is of two folders."""
    if isinstance(source, tuple) and all(isinstance(one, str | os.PathLike) for one in source):
        name = next((str(one) for one in source if Path(one).is_file()), None)
        raise DataSetError(
            f"{name!r} is a file: expected two folders, of images and of label maps. A file of "
            "annotations (.json, .xml) or a list (.txt) is given as the dataset itself; one pair "
            "as a list [(image, label map)]"
        )


def _holds_pairs(source: Any) -> bool:
    """Whether elements are `(image, label)`; all of a list are looked at, of others the first."""
    try:
        first = source[0]
    except MemoryError:
        raise
    except Exception as error:  # of any dataset
        hint = "; give table.to_dict('records') of a table of pandas" * hasattr(source, "iloc")
        raise DataSetError(
            f"the {type(source).__name__} failed to give element 0 ({type(error).__name__}: "
            f"{error}){hint}"
        ) from error
    if isinstance(first, Mapping):
        return False
    looked_at = source if isinstance(source, list | tuple) else [first]
    for index, one in enumerate(looked_at):
        if not isinstance(one, tuple | list) or len(one) != 2:
            text = f"element {index} (counted from 0) of the {type(source).__name__}"
            raise DataSetError(f"{text} is {describe(one)}: expected a pair (image, label)")
    return True


def _label_ids(opened: Opened, given: DataOptions) -> tuple[LabelIds, tuple[str, ...] | None]:
    """What ids stand for, and the names that a palette has."""
    found = parse_label_ids(given.label_ids) or opened.label_ids or LabelIds()
    names = None
    if given.palette is not None:
        names, colours = read_palette(Path(given.palette))
        found = replace(found, colours=colours)
    if given.ignore_ids is not None:
        ignored = parse_ids("ignore_ids", given.ignore_ids)
        found = replace(found, also_ignored=(*found.also_ignored, *ignored))
    return found, names


def _excluded(value: Any, classes: tuple[str, ...] | None) -> tuple[int, ...]:
    """The ids of classes that are named, or given by id."""
    if value is None:
        return ()
    items = value.split(",") if isinstance(value, str) else value
    ids = []
    for item in items if isinstance(items, Iterable) else [items]:
        name = item.strip() if isinstance(item, str) else item
        try:
            number = classes.index(name) if classes and name in classes else whole(name)
        except (TypeError, ValueError):
            number = -1
        if number < 0:
            there = f"the dataset has {', '.join(classes)}" if classes else "it names no classes"
            raise DataSetError(
                f"{option('exclude_classes', name)}: {there}; expected names of classes, or ids"
            )
        ids.append(number)
    return tuple(ids)


def _table_of_split(tables: Mapping[str, Any], split: str | None) -> Any:
    """The table of a split, of what loading a dataset without naming a split gives."""
    if split is None and len(tables) == 1:
        return next(iter(tables.values()))
    there = [str(one) for one in tables]
    if split is None:
        raise DataSetError(
            f"the dataset has the splits {', '.join(there)}: choose one, "
            f"{option('split', there[0] if there else None)}"
        )
    found = chosen_split(there, split)
    if found is None:
        raise DataSetNotFoundError(f"the dataset has the splits {', '.join(there)}, no {split!r}")
    return tables[found]


def _check_indexed(source: Any) -> None:
    if hasattr(source, "__len__") and hasattr(source, "__getitem__"):
        return
    hint = ""
    if hasattr(source, "__iter__"):
        hint = "; a dataset that can only be iterated over has no length: make it a list"
    raise DataSetError(
        f"{describe(source)} is no labelled dataset: expected a folder, two folders (images, "
        "labels), a table in a file, a list of (image, label) pairs, or a dataset with a column "
        f"of each (MsDataset, Hugging Face, list of dicts){hint}"
    )
