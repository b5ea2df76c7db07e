"""Pascal VOC, and what has its folders: lists in `ImageSets` say what belongs to a part."""

import re
from pathlib import Path

from modelscope_vitadapter.datasets.files import (
    Pair,
    first_image,
    listed,
    pairs_by_pattern,
    read_list,
)
from modelscope_vitadapter.datasets.known_classes import VOC
from modelscope_vitadapter.datasets.layouts.layout import Found

NAME = "voc"
LOOK = "JPEGImages/x.jpg, SegmentationClass/x.png, ImageSets/Segmentation/SPLIT.txt"

LABELS = (
    "SegmentationClass",
    "SegmentationClassAug",
    "SegmentationClassPNG",
    "SegmentationClassRaw",
)
LISTS = ("Segmentation", ".")

OFFICIAL = re.compile(r"20\d\d_\d{6}\.")
"""Names of VOC's own images; others have other classes."""


def splits(root: Path) -> list[str] | None:
    """The names of the lists, which may be of a subset only."""
    if not (root / "JPEGImages").is_dir() or (root / "labelmap.txt").is_file():
        return None
    if not any((root / name).is_dir() for name in LABELS) or (root / "class_names.txt").is_file():
        return None
    return split_lists(root)


def split_lists(root: Path) -> list[str]:
    """The names of the lists in `ImageSets/Segmentation`, or in `ImageSets`."""
    for place in LISTS:
        found = sorted(path.stem for path in (root / "ImageSets" / place).glob("*.txt"))
        if found:
            return found
    return []


def find(root: Path, split: str | None) -> Found:
    """The part's pairs, with the names of VOC's own classes for its own images."""
    pairs = most_pairs(root, split)
    return Found(pairs, VOC if OFFICIAL.match(first_image(root / "JPEGImages")) else None)


def most_pairs(root: Path, split: str | None) -> list[Pair]:
    """A part's pairs, from the folder of label maps that has most of them."""
    found = [listed_pairs(root, name, split) for name in LABELS if (root / name).is_dir()]
    return max(found, key=lambda pairs: sum(label is not None for _, label in pairs))


def listed_pairs(
    root: Path, labels: str, split: str | None, lists: tuple[str, ...] = LISTS
) -> list[Pair]:
    """The pairs of a folder of label maps that a list names, or all that have a label map."""
    pairs = pairs_by_pattern(root, "JPEGImages/{}.*", f"{labels}/{{}}.*")
    if split is None:
        return [pair for pair in pairs if pair[1] is not None] or pairs
    paths = [root / "ImageSets" / place / f"{split}.txt" for place in lists]
    path = next(one for one in paths if one.is_file())
    return listed(pairs, root, read_list(path), path.name)
