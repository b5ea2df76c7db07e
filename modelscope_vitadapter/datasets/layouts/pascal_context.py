"""Pascal Context: VOC 2010's images with 59 classes and background, 0."""

from pathlib import Path

from modelscope_vitadapter.datasets.known_classes import PASCAL_CONTEXT
from modelscope_vitadapter.datasets.layouts.layout import Found
from modelscope_vitadapter.datasets.layouts.voc import listed_pairs

NAME = "pascal-context"
LOOK = "JPEGImages/x.jpg, SegmentationClassContext/x.png, ImageSets/SegmentationContext/SPLIT.txt"

LABELS, LISTS = "SegmentationClassContext", ("SegmentationContext",)


def splits(root: Path) -> list[str] | None:
    """The names of the lists."""
    if not (root / LABELS).is_dir():
        return None
    return sorted(path.stem for path in (root / "ImageSets" / LISTS[0]).glob("*.txt"))


def find(root: Path, split: str | None) -> Found:
    """The part's pairs. `reduce-zero` makes it the 59 classes without background."""
    return Found(listed_pairs(root, LABELS, split, LISTS), PASCAL_CONTEXT)
