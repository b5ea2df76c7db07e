"""CamVid as SegNet's authors share it (11 classes), and as it was published (colours)."""

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
    "701_StillsRaw_full/x.png, LabeledApproved_full/x_L.png with label_colors.txt"
)

FRAME = re.compile(r"(0001TP|0006R0|0016E5|Seq05VD)_")
"""How names of its images begin."""

RAW, APPROVED = "701_StillsRaw_full", "LabeledApproved_full"


def splits(root: Path) -> list[str] | None:
    """SegNet's parts; the published folders have none."""
    there = subfolders(root)
    if RAW in there and APPROVED in there:
        return []
    found = [name for name in there if f"{name}annot" in there]
    return found if found and FRAME.match(first_image(root / found[0])) else None


def find(root: Path, split: str | None) -> Found:
    """The part's pairs."""
    if split is not None:
        return Found(folders.find(root, split).pairs, CAMVID, LabelIds(also_ignored=(11,)))
    pairs = pairs_by_pattern(root, f"{RAW}/{{}}.*", f"{APPROVED}/{{}}_L.*")
    if not (root / "label_colors.txt").is_file():
        return Found(pairs, read_classes(root / "codes.txt"))
    classes, colours = read_palette(root / "label_colors.txt")
    return Found(pairs, classes, LabelIds(colours=colours))
