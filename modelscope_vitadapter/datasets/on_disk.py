"""Datasets in folders, lists and annotation files: where images and label maps are."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelscope_vitadapter.datasets.class_files import read_classes
from modelscope_vitadapter.datasets.files import chosen_split, listed, pairs_by_pattern, read_list
from modelscope_vitadapter.datasets.label_ids import LabelIds
from modelscope_vitadapter.datasets.label_maps import holds_colours
from modelscope_vitadapter.datasets.layouts import folders
from modelscope_vitadapter.datasets.layouts.layout import Found, Layout
from modelscope_vitadapter.datasets.layouts.registry import recognise
from modelscope_vitadapter.datasets.options import DataOptions
from modelscope_vitadapter.datasets.palettes import read_palette
from modelscope_vitadapter.datasets.sources import Opened
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from modelscope_vitadapter.hints import option
from modelscope_vitadapter.logs import get_logger

CLASSES_FILE = "classes.txt"
"""A class name a line, by id; beside the folders of images and label maps."""

PALETTE_FILES = ("class_dict.csv", "label_colors.txt", "labelmap.txt")
"""Files that tools write beside label maps of colours."""


def opened_files(source: Any, split: str | None, given: DataOptions) -> Opened:
    """Opens a folder, a pair of folders, or a file of a list or of annotations.

    Raises:
        DataSetNotFoundError: a file, folder or split does not exist.
        DataSetError: nothing is recognised, or label maps are missing.
    """
    root = Path(source[0] if isinstance(source, tuple) else source)
    layout, part, places = None, split, [root]
    if isinstance(source, tuple):
        images, labels = (Path(one, split or "") for one in source)
        pairs = folders.pair_up(images, labels)
        found = Found(pairs, label_ids=folders.usual_label_ids(pairs, labels))
        root = Path(os.path.commonpath([images.absolute(), labels.absolute()]))
        places, name = [labels, images], images.name
    elif given.pairs is not None:
        found, part = Found(_patterns(root, given.pairs, split)), split
        name = root.name
    elif given.list is not None and all(len(one) == 2 for one in read_list(Path(given.list))):
        found, part, name = Found(_listed_files(root, Path(given.list))), None, root.name
        given = replace(given, list=None)
    else:
        module, place, parts = recognise(root, given.layout)
        layout, name = module.NAME, root.name
        part = (
            None if given.list is not None and split is None else _part(module, place, parts, split)
        )
        found = module.find(place, part) if part or not parts else _all_parts(module, place, parts)
        places, root = [place, root], place if place.is_dir() else place.parent
    beside = _palette_beside(places[0], found) if given.palette is None else None
    if beside is not None:
        found = replace(found, classes=found.classes or beside[0], label_ids=beside[1])
    if given.list is not None:
        list_file = Path(given.list)
        found = replace(
            found, pairs=listed(list(found.pairs), root, read_list(list_file), list_file.name)
        )
    classes = next((names for one in places if (names := read_classes(one / CLASSES_FILE))), None)
    return Opened(
        _with_label_maps(found.pairs, given.skip_missing),
        classes=classes or found.classes,
        name=f"{name}/{part}" if part and layout is not None else name,
        label_ids=found.label_ids,
        element=None,
        root=root,
        layout=layout,
    )


def _part(layout: Layout, place: Path, parts: list[str], split: str | None) -> str | None:
    """The part of a dataset that a split names; the only one where none is named."""
    if split is None:
        if len(parts) > 1:
            raise DataSetError(
                f"{str(place)!r} has the splits {', '.join(parts)}: choose one, "
                f"{option('split', parts[0])}"
            )
        return parts[0] if parts else None
    found = chosen_split(parts, split)
    if found is None and layout.NAME == folders.NAME and (place / split).is_dir():
        return split
    if found is None:
        known = f"there are {', '.join(parts)}" if parts else "no splits were found in it"
        raise DataSetNotFoundError(f"{str(place)!r} has no split {split!r}; {known}")
    return found


def _all_parts(layout: Layout, place: Path, parts: Sequence[str]) -> Found:
    """All parts together, for a list to choose from."""
    found = [layout.find(place, one) for one in parts]
    pairs = {str(pair[0]): pair for one in found for pair in one.pairs}
    return replace(found[0], pairs=list(pairs.values()))


def _patterns(root: Path, patterns: Sequence[str], split: str | None) -> list[Any]:
    if not root.is_dir():
        raise DataSetNotFoundError(f"folder {str(root)!r} does not exist, or is no folder")
    if len(patterns) != 2:
        raise DataSetError(
            f"pairs={patterns!r}: expected two patterns, of images and of label maps"
        )
    if any("{split}" in one for one in patterns) and split is None:
        raise DataSetError(
            f"{option('pairs', tuple(patterns))} has {{split}}: give {option('split')}"
        )
    images, labels = (one.replace("{split}", split or "") for one in patterns)
    pairs = pairs_by_pattern(root, images, labels)
    if not pairs:
        raise DataSetError(f"no image below {str(root)!r} is called as {images!r} says")
    return pairs


def _listed_files(root: Path, path: Path) -> list[Any]:
    """The files that a list names, from the dataset's folder on or from the list's own."""
    entries = read_list(path)
    base = root if (root / entries[0][0]).exists() else path.parent
    return [(base / image, base / label) for image, label in entries]


def _with_label_maps(pairs: Sequence[Any], skip_missing: bool) -> Sequence[Any]:
    """The pairs; those without a label map are refused, or left out with a note in the log."""
    if all(label is not None for _, label in pairs):
        return pairs
    text = folders.missing_label_maps(list(pairs))
    kept = [pair for pair in pairs if pair[1] is not None]
    if not skip_missing or not kept:
        raise DataSetError(text)
    get_logger().warning("left out: %s", text)
    return kept


def _palette_beside(place: Path, found: Found) -> tuple[tuple[str, ...], LabelIds] | None:
    """Names and colours of a palette that lies in a folder, if its label maps hold colours."""
    path = next((place / one for one in PALETTE_FILES if (place / one).is_file()), None)
    if path is None or (found.label_ids is not None and found.label_ids.colours is not None):
        return None
    first = next((label for _, label in found.pairs if label is not None), None)
    names, colours = read_palette(path)
    coloured = isinstance(first, Path) and holds_colours(first)
    return names, replace(found.label_ids or LabelIds(), colours=colours if coloured else None)
