"""Cityscapes: `_labelTrainIds` as they are, `_labelIds` mapped to the 19 classes."""

from pathlib import Path

from modelscope_vitadapter.datasets.files import pairs_by_pattern, subfolders
from modelscope_vitadapter.datasets.known_classes import CITYSCAPES
from modelscope_vitadapter.datasets.label_ids import CITYSCAPES_34, LabelIds
from modelscope_vitadapter.datasets.layouts.layout import Found

NAME = "cityscapes"
LOOK = "leftImg8bit/SPLIT/CITY/*_leftImg8bit.png, gtFine/SPLIT/CITY/*_labelTrainIds or _labelIds"

LABELS = {"gtFine": "gtFine", "gtCoarse": "gtCoarse"}


def splits(root: Path) -> list[str] | None:
    """The folders in `leftImg8bit`."""
    if not (root / "leftImg8bit").is_dir() or not any((root / one).is_dir() for one in LABELS):
        return None
    return subfolders(root / "leftImg8bit")


def find(root: Path, split: str | None) -> Found:
    """The part's pairs: those of training ids where every image has them."""
    kind = next(one for one in LABELS if (root / one).is_dir())
    place = "" if split is None else f"{split}/"
    images = f"leftImg8bit/{place}{{}}_leftImg8bit.*"
    found = {
        ending: pairs_by_pattern(root, images, f"{kind}/{place}{{}}_{kind}_{ending}.png")
        for ending in ("labelTrainIds", "labelIds")
    }
    if all(label is not None for _, label in found["labelTrainIds"]):
        return Found(found["labelTrainIds"], CITYSCAPES, LabelIds())
    return Found(found["labelIds"], CITYSCAPES, CITYSCAPES_34)
