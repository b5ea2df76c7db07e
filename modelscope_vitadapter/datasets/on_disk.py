"""Datasets in folders, lists and annotation files: where images and label maps are."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelscope_vitadapter.datasets.class_files import read_classes
from modelscope_vitadapter.datasets.files import (
    LABEL_SUFFIXES,
    chosen_split,
    listed,
    listed_path,
    pairs_by_pattern,
    read_list,
)
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


@dataclass(frozen=True)
class _Place:
    """Where a dataset was found."""

    found: Found
    root: Path  # that paths in it are relative to
    name: str
    folders: Sequence[Path]  # where classes.txt and palettes may lie
    layout: str | None = None


def opened_files(source: Any, split: str | None, given: DataOptions) -> Opened:
    """Opens a folder, a pair of folders, or a file of a list or of annotations.

    Raises:
        DataSetNotFoundError: a file, folder or split does not exist.
        DataSetError: nothing is recognised, or label maps are missing.
    """
    if isinstance(source, tuple):
        if given.pairs is not None or given.layout is not None:
            name = "pairs" if given.layout is None else "layout"
            raise DataSetError(f"{option(name)}: expected only with one folder, not with two")
        place = _two_folders(*(Path(one, split or "") for one in source))
    elif given.pairs is not None:
        root = Path(source)
        place = _Place(Found(_patterns(root, given.pairs, split)), root, root.name, [root])
    else:
        place = _recognised(Path(source), split, given)
    found = place.found
    if not found.pairs and given.list is None:
        raise DataSetError(
            f"{str(place.root)!r} has no image that can be told from label maps: expected at least "
            f"one; {option('pairs', ('{}.jpg', '{}.png'))} says what belongs together"
        )
    names, colours = _palette_beside(place) if given.palette is None else (None, None)
    if given.list is not None:
        found = replace(found, pairs=_listed(found.pairs, place.root, Path(given.list)))
    # Polygons have ids of their own: a file of their classes has been read, without background.
    are_drawn = any(not isinstance(label, Path | None) for _, label in found.pairs[:1])
    files = [read_classes(one / CLASSES_FILE) for one in ([] if are_drawn else place.folders)]
    classes = next((one for one in files if one), found.classes or names)
    return Opened(
        _with_label_maps(found.pairs, given.skip_missing),
        classes=classes,
        name=place.name,
        label_ids=colours or found.label_ids,
        element=None,
        root=place.root,
        layout=place.layout,
    )


def _two_folders(images: Path, labels: Path) -> _Place:
    pairs = folders.pair_up(images, labels)
    root = Path(os.path.commonpath([images.absolute(), labels.absolute()]))
    found = Found(pairs, label_ids=folders.usual_label_ids(pairs, labels))
    return _Place(found, root, images.name, [labels, images])


def _recognised(root: Path, split: str | None, given: DataOptions) -> _Place:
    """What a layout finds in a folder or a file; of all parts where a list is to choose."""
    if given.list is not None and all(len(one) == 2 for one in read_list(Path(given.list))):
        return _Place(Found([]), root, root.name, [root])  # the list has the pairs
    layout, place, parts = recognise(root, given.layout)
    folder = place if place.is_dir() else place.parent
    if given.list is not None and split is None and parts:
        found = _all_parts(layout, place, parts)
        return _Place(found, folder, root.name, [folder, root], layout.NAME)
    part = _part(layout, place, parts, split)
    name = f"{root.name}/{part}" if part else root.name
    return _Place(layout.find(place, part), folder, name, [folder, root], layout.NAME)


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
    if not any(label for _, label in pairs):
        raise DataSetError(
            f"none of {len(pairs)} images below {str(root)!r} has a label map that is called as "
            f"{labels!r} says, with a suffix of {', '.join(sorted(LABEL_SUFFIXES))}"
        )
    return pairs


def _listed(pairs: Sequence[Any], root: Path, path: Path) -> Sequence[Any]:
    """The pairs that a list has, from the dataset's folder on or from the list's own, or names."""
    entries = read_list(path)
    if all(len(one) == 1 for one in entries):
        return listed(list(pairs), root, entries, path.name)
    odd = next((one for one in entries if len(one) != 2), None)
    if odd is not None:
        raise DataSetError(
            f"list {str(path)!r}: {', '.join(odd)} has {len(odd)} parts; expected the name of an "
            "image in each line, or an image and its label map in each"
        )
    base = root if listed_path(root, entries[0][0]).is_file() else path.parent
    return [(listed_path(base, image), listed_path(base, label)) for image, label in entries]


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


def _palette_beside(place: _Place) -> tuple[tuple[str, ...] | None, LabelIds | None]:
    """Names in a palette that lies in the folder, and its colours if label maps hold colours."""
    ids = place.found.label_ids
    paths = (place.folders[0] / one for one in PALETTE_FILES)
    path = next((one for one in paths if one.is_file()), None)
    if path is None or (ids is not None and ids.colours is not None):
        return None, None
    names, colours = read_palette(path)
    first = next((label for _, label in place.found.pairs if label is not None), None)
    coloured = isinstance(first, Path) and holds_colours(first)
    return names, replace(ids or LabelIds(), colours=colours) if coloured else None
