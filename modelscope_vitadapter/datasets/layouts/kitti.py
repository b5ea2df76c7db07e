"""KITTI's semantic segmentation benchmark, with Cityscapes' ids."""

import re
from pathlib import Path

from modelscope_vitadapter.datasets.files import first_image, pairs_by_pattern
from modelscope_vitadapter.datasets.known_classes import CITYSCAPES
from modelscope_vitadapter.datasets.label_ids import CITYSCAPES_34
from modelscope_vitadapter.datasets.layouts.layout import Found

NAME = "kitti"
LOOK = "training/image_2/x.png, training/semantic/x.png with Cityscapes' 34 ids"

OFFICIAL = re.compile(r"\d{6}_1[01]\.png")
"""Names of KITTI's own images; others that lie so have other classes."""


def splits(root: Path) -> list[str] | None:
    """Parts that have labels: `training` only, as it is published."""
    there = [one.parent.name for one in sorted(root.glob("*/semantic")) if one.is_dir()]
    return [one for one in there if (root / one / "image_2").is_dir()] or None


def find(root: Path, split: str | None) -> Found:
    """The part's pairs."""
    pairs = pairs_by_pattern(root, f"{split}/image_2/{{}}.*", f"{split}/semantic/{{}}.*")
    if not OFFICIAL.fullmatch(first_image(root / str(split) / "image_2")):
        return Found(pairs)
    return Found(pairs, CITYSCAPES, CITYSCAPES_34)
