"""CVAT's export of segmentation masks: colours, which `labelmap.txt` names."""

from pathlib import Path

from modelscope_vitadapter.datasets.files import subfolders
from modelscope_vitadapter.datasets.label_ids import LabelIds
from modelscope_vitadapter.datasets.layouts.layout import Found
from modelscope_vitadapter.datasets.layouts.voc import listed_pairs, split_lists
from modelscope_vitadapter.datasets.palettes import read_palette
from modelscope_vitadapter.errors import DataSetError

NAME = "cvat-masks"
LOOK = "JPEGImages/x.jpg, SegmentationClass/x.png with the colours of labelmap.txt"


def splits(root: Path) -> list[str] | None:
    """The subsets of the task; `default` is what all images are in where there are none."""
    labelled = (root / "SegmentationClass").is_dir()
    if not labelled or not (root / "labelmap.txt").is_file():
        return None
    found = split_lists(root)
    return [] if found == ["default"] else found


def find(root: Path, split: str | None) -> Found:
    """The part's pairs, with names and colours; DataSetError for an export without images."""
    if "JPEGImages" not in subfolders(root):
        raise DataSetError(
            f"{str(root)!r} has no folder JPEGImages: export it anew from CVAT with its images"
        )
    classes, colours = read_palette(root / "labelmap.txt")
    pairs = listed_pairs(root, "SegmentationClass", split)
    return Found(pairs, classes, LabelIds(colours=colours))
