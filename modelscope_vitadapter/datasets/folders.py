"""Where in a folder the pictures and the label maps of a split are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError

IMAGE_FOLDERS = ("images", "image", "imgs", "img")
LABEL_FOLDERS = ("labels", "label", "annotations", "masks", "stuffthingmaps")
"""What the folders beside each other may be called, in the order in which they are looked for."""

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jp2", ".ppm", ".pgm"}
    | {".avif", ".heic", ".tga"}
)
LABEL_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".bmp", ".pgm", ".tga"})
"""Suffixes of files, in lower case."""

_NAMES = [(one, other) for one in IMAGE_FOLDERS for other in LABEL_FOLDERS]


def folders_of_split(root: Path, split: str | None) -> tuple[Path, Path, str | None]:
    """Find the two folders of a split.

    Looked for are, with `images` and `labels` or another name of `IMAGE_FOLDERS` and
    `LABEL_FOLDERS`: `ROOT/images/SPLIT` beside `ROOT/labels/SPLIT`, `ROOT/SPLIT/images` beside
    `ROOT/SPLIT/labels`, `ROOT/SPLIT` beside `ROOT/labels/SPLIT`; and `ROOT/SPLIT` or `ROOT` alone,
    with pictures and label maps in one folder. A data set with a single split needs no name of it.

    Args:
        root: The data set's folder.
        split: The split's name as its folders have it, or None.

    Returns:
        The folder of the pictures, that of the label maps (it may be the same), and the split.

    Raises:
        DataSetNotFoundError: There is no such folder or split.
        DataSetError: Several splits are there and none was chosen, or one of the folders is
            missing.
    """
    if not root.is_dir():
        raise DataSetNotFoundError(
            f"data set folder {str(root)!r} does not exist, or is no folder; expected one with "
            "images/ beside labels/"
        )
    there = _splits(root)
    if split is None:
        split = _only(there, root)
    without_labels = None
    for pictures, labels in _places(root, split):
        if not pictures.is_dir():
            continue
        if pictures == labels or _holds(labels, LABEL_SUFFIXES):
            return pictures, labels, split
        without_labels = without_labels or pictures
    if without_labels is not None:
        expected = ", ".join(f"{name}/{split}" if split else name for name in LABEL_FOLDERS)
        raise DataSetError(
            f"{str(without_labels)!r} has no folder of label maps beside it: expected one of "
            f"{expected} in {str(root)!r}"
        )
    known = f"there are {', '.join(there)}" if there else "no splits were found in it"
    raise DataSetNotFoundError(f"{str(root)!r} has no split {split!r}; {known}")


def files_below(folder: Path, suffixes: frozenset[str]) -> Iterator[Path]:
    """The files below a folder with one of some suffixes, in the order of their names.

    Hidden files and folders are passed over, among them what macOS leaves beside files.
    """
    for current, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes:
                yield Path(current, name)


def _places(root: Path, split: str | None) -> Iterator[tuple[Path, Path]]:
    """Where pictures and label maps may be, in the order in which they are looked for."""
    if split is None:
        yield from ((root / one, root / other) for one, other in _NAMES)
        if _named(root, IMAGE_FOLDERS) is None:
            yield root, root
        return
    yield from ((root / one / split, root / other / split) for one, other in _NAMES)
    yield from ((root / split / one, root / split / other) for one, other in _NAMES)
    folder = root / split
    for name in LABEL_FOLDERS:
        if (root / name / split).is_dir():
            yield folder, root / name / split
    if _named(folder, IMAGE_FOLDERS) is None:
        yield folder, folder


def _splits(root: Path) -> list[str]:
    """Names of the splits that a data set's folders show."""
    images = _named(root, IMAGE_FOLDERS)
    if images is None:
        return [one for one in _subfolders(root) if _named(root / one, IMAGE_FOLDERS) is not None]
    if any(one.suffix.lower() in PICTURE_SUFFIXES for one in images.iterdir()):
        return []
    return [
        one
        for one in _subfolders(images)
        if any((root / name / one).is_dir() for name in LABEL_FOLDERS)
    ]


def _only(splits: list[str], root: Path) -> str | None:
    """The one split of a data set that has one; None where its pictures lie in no splits."""
    if len(splits) > 1:
        raise DataSetError(
            f"{str(root)!r} has the splits {', '.join(splits)}: choose one, split={splits[0]!r}"
        )
    return splits[0] if splits else None


def _named(root: Path, names: tuple[str, ...]) -> Path | None:
    """The first of some folders that is there."""
    return next((root / name for name in names if (root / name).is_dir()), None)


def _holds(folder: Path, suffixes: frozenset[str]) -> bool:
    return folder.is_dir() and next(files_below(folder, suffixes), None) is not None


def _subfolders(folder: Path) -> list[str]:
    return sorted(
        one.name for one in folder.iterdir() if one.is_dir() and not one.name.startswith(".")
    )
