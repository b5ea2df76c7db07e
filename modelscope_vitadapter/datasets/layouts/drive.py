"""DRIVE: vessels of the retina in `1st_manual`; its folder `mask` shows the field of view only."""

from pathlib import Path

from modelscope_vitadapter.datasets.files import pairs_by_pattern, subfolders
from modelscope_vitadapter.datasets.label_ids import mapped_ids
from modelscope_vitadapter.datasets.layouts.layout import Found

NAME = "drive"
LOOK = "training/images/21_training.tif, training/1st_manual/21_manual1.gif; test"

LABELS = "1st_manual"


def splits(root: Path) -> list[str] | None:
    """Parts that have labels."""
    return [name for name in subfolders(root) if (root / name / LABELS).is_dir()] or None


def find(root: Path, split: str | None) -> Found:
    """The part's pairs, with vessels of value 255, or 1 where they were converted."""
    images = f"{split}/images/{{}}_{split}.*"
    pairs = pairs_by_pattern(root, images, f"{split}/{LABELS}/{{}}_manual1.*")
    return Found(pairs, ("background", "vessel"), mapped_ids({0: 0, 1: 1, 255: 1}))
