"""iSAID: aerial images; its colours, or the ids that mmsegmentation's converter makes of them."""

from pathlib import Path

from modelscope_vitadapter.datasets.files import LABEL_SUFFIXES, files_below, subfolders
from modelscope_vitadapter.datasets.known_classes import ISAID, ISAID_COLOURS
from modelscope_vitadapter.datasets.label_ids import LabelIds
from modelscope_vitadapter.datasets.label_maps import holds_colours
from modelscope_vitadapter.datasets.layouts import folders
from modelscope_vitadapter.datasets.layouts.layout import Found

NAME = "isaid"
LOOK = "train/images/x.png, train/Semantic_masks/x_instance_color_RGB.png; img_dir, ann_dir"

ENDING, MASKS = "_instance_color_RGB", "Semantic_masks"


def splits(root: Path) -> list[str] | None:
    """The published parts, or those of a converted dataset."""
    found = [name for name in subfolders(root) if (root / name / MASKS).is_dir()]
    if found:
        return found
    label = next(files_below(root / "ann_dir", LABEL_SUFFIXES), None)
    return folders.splits(root) if label is not None and label.stem.endswith(ENDING) else None


def find(root: Path, split: str | None) -> Found:
    """The part's pairs."""
    folder = root / str(split)
    if (folder / MASKS).is_dir():
        names = {
            path.stem.removesuffix(ENDING): path
            for path in files_below(folder / MASKS, LABEL_SUFFIXES)
        }
        images = files_below(folder / "images", LABEL_SUFFIXES)
        pairs = [(path, names.get(path.stem)) for path in images]
    else:
        pairs = list(folders.find(root, split).pairs)
    first = next((label for _, label in pairs if label is not None), None)
    coloured = first is not None and holds_colours(first)
    return Found(pairs, ISAID, LabelIds(colours=ISAID_COLOURS if coloured else None))
