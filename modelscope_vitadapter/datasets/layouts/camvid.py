"""CamVid of SegNet's authors (11 classes), as it was published (colours), and of fast.ai."""

import re
from pathlib import Path

from modelscope_vitadapter.datasets.class_files import read_classes
from modelscope_vitadapter.datasets.files import first_image, pairs_by_pattern, subfolders
from modelscope_vitadapter.datasets.known_classes import CAMVID
from modelscope_vitadapter.datasets.label_ids import LabelIds
from modelscope_vitadapter.datasets.layouts import folders
from modelscope_vitadapter.datasets.layouts.layout import Found
from modelscope_vitadapter.datasets.palettes import read_palette

NAME = "camvid"
LOOK = (
    "train/x.png, trainannot/x.png with ids 0 to 11, of which 11 is not counted; or "
    "701_StillsRaw_full/x.png, LabeledApproved_full/x_L.png with label_colors.txt; or "
    "images/x.png, labels/x_P.png with codes.txt"
)

FRAME = re.compile(r"(0001TP|0006R0|0016E5|Seq05VD)_")
"""How names of its images begin."""

RAW, APPROVED = "701_StillsRaw_full", "LabeledApproved_full"


def splits(root: Path) -> list[str] | None:
    """SegNet's parts; the other forms have none."""
    there = subfolders(root)
    if RAW in there and APPROVED in there:
        return []
    found = [name for name in there if f"{name}annot" in there]
    is_fastai = (root / "codes.txt").is_file() and "images" in there
    first = first_image(root / (found[0] if found else "images")) if found or is_fastai else ""
    return found if FRAME.match(first) else None


def find(root: Path, split: str | None) -> Found:
    """The part's pairs."""
    if split is not None:
        return Found(folders.find(root, split).pairs, CAMVID, LabelIds(also_ignored=(11,)))
    names = read_classes(root / "codes.txt")
    if names:
        void = tuple(number for number, name in enumerate(names) if name == "Void")
        return Found(folders.find(root, None).pairs, names, LabelIds(excluded=void))
    pairs = pairs_by_pattern(root, f"{RAW}/{{}}.*", f"{APPROVED}/{{}}_L.*")
    classes, colours = read_palette(root / "label_colors.txt")
    return Found(pairs, classes, LabelIds(colours=colours))
