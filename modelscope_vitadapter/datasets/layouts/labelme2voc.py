"""What labelme's script `labelme2voc` writes."""

from pathlib import Path

from modelscope_vitadapter.datasets.class_files import read_classes
from modelscope_vitadapter.datasets.layouts.layout import Found
from modelscope_vitadapter.datasets.layouts.voc import most_pairs, split_lists

NAME = "labelme2voc"
LOOK = "JPEGImages/x.jpg, SegmentationClass/x.png or SegmentationClassPNG/x.png, class_names.txt"


def splits(root: Path) -> list[str] | None:
    """None by itself; people add lists as VOC has them."""
    if not (root / "class_names.txt").is_file() or not (root / "JPEGImages").is_dir():
        return None
    return split_lists(root)


def find(root: Path, split: str | None) -> Found:
    """The pairs, and the names as the script wrote them."""
    return Found(most_pairs(root, split), read_classes(root / "class_names.txt"))
