"""Cityscapes: `_labelTrainIds` as they are, `_labelIds` mapped to the 19 classes."""

import re
from pathlib import Path

from modelscope_vitadapter.datasets.files import first_image, pairs_by_pattern, subfolders
from modelscope_vitadapter.datasets.known_classes import CITYSCAPES
from modelscope_vitadapter.datasets.label_ids import CITYSCAPES_34, LabelIds
from modelscope_vitadapter.datasets.layouts.layout import Found

NAME = "cityscapes"
LOOK = "leftImg8bit/SPLIT/CITY/*_leftImg8bit.png, gtFine/SPLIT/CITY/*_labelTrainIds or _labelIds"

LABELS = ("gtFine", "gtCoarse")

OFFICIAL = re.compile(r"[a-z-]+_\d{6}_\d{6}_leftImg8bit\.png")
"""Names of Cityscapes' own images; others that lie so have other classes."""


def splits(root: Path) -> list[str] | None:
    """The folders in `leftImg8bit`."""
    images = _place(root, "leftImg8bit")
    return (
        subfolders(root / images) if images and any(_place(root, one) for one in LABELS) else None
    )


def find(root: Path, split: str | None) -> Found:
    """The part's pairs: those of training ids where every image has them."""
    place = "" if split is None else f"{split}/"
    folder = _place(root, "leftImg8bit")
    there = [one for one in LABELS if (root / _place(root, one) / place).is_dir()] or LABELS
    kind = there[0]
    found = {
        ending: pairs_by_pattern(
            root,
            f"{folder}/{place}{{}}_leftImg8bit.*",
            f"{_place(root, kind)}/{place}{{}}_{kind}_{ending}.png",
        )
        for ending in ("labelTrainIds", "labelIds")
    }
    has_all = all(label is not None for _, label in found["labelTrainIds"])
    pairs = found["labelTrainIds" if has_all else "labelIds"]
    if not OFFICIAL.fullmatch(first_image(root / folder)):
        return Found(pairs)
    return Found(pairs, CITYSCAPES, LabelIds() if has_all else CITYSCAPES_34)


def _place(root: Path, name: str) -> str:
    """Where a folder is, such as in `gtFine_trainvaltest` of its archive; nothing if nowhere."""
    found = [*sorted(root.glob(f"{name}*/{name}")), *root.glob(name)]
    return found[0].relative_to(root).as_posix() if found else ""
