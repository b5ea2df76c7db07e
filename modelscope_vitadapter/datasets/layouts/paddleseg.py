"""PaddleSeg's list files: an image and its label map in each line."""

from pathlib import Path

from modelscope_vitadapter.datasets.class_files import read_classes
from modelscope_vitadapter.datasets.files import (
    SPLIT_NAMES,
    Pair,
    list_entry,
    listed_path,
    read_list,
)
from modelscope_vitadapter.datasets.layouts.layout import Found
from modelscope_vitadapter.errors import DataSetError

NAME = "paddleseg"
LOOK = "train.txt or train_list.txt with lines 'images/x.jpg labels/x.png', labels.txt with names"


def splits(root: Path) -> list[str] | None:
    """Names of the lists whose first line names two files that are there."""
    if root.is_file():
        return [] if root.suffix.lower() == ".txt" and _is_list(root) else None
    if (root / "ImageSets").is_dir():  # lists of VOC, of which people keep some more in the root
        return None
    lists = {one.stem.removesuffix("_list"): one for one in sorted(root.glob("*.txt"))}
    known = {name for names in SPLIT_NAMES for name in names}  # others are people's own subsets
    return [name for name, one in lists.items() if name in known and _is_list(one)] or None


def find(root: Path, split: str | None) -> Found:
    """The pairs of a list."""
    if root.is_file():
        return Found(listed_files(root, root.parent), read_classes(root.parent / "labels.txt"))
    path = next(one for one in (root / f"{split}.txt", root / f"{split}_list.txt") if one.is_file())
    return Found(listed_files(path, root), read_classes(root / "labels.txt"))


def listed_files(path: Path, root: Path) -> list[Pair]:
    """Images and label maps that the lines of a list name, relative to a folder."""
    entries = read_list(path)
    odd = next((entry for entry in entries if len(entry) != 2), None)
    if odd is not None:
        raise DataSetError(
            f"list {str(path)!r}: {' '.join(odd)!r} is not an image and a label map; expected two "
            "paths in each line, with a comma or a tab between them where paths have blanks"
        )
    return [(listed_path(root, image), listed_path(root, label)) for image, label in entries]


def _is_list(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8-sig") as file:
            line = file.readline(4096)
    except (OSError, UnicodeDecodeError):
        return False
    paths = list_entry(line)
    return len(paths) == 2 and all(listed_path(path.parent, one).is_file() for one in paths)
