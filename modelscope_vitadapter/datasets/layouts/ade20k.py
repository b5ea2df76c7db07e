"""ADE20K's scene parsing benchmark (ADEChallengeData2016), whose 150 classes have ids from 1."""

from pathlib import Path

from modelscope_vitadapter.datasets.files import first_image, pairs_by_pattern, subfolders
from modelscope_vitadapter.datasets.known_classes import ADE20K
from modelscope_vitadapter.datasets.label_ids import LabelIds
from modelscope_vitadapter.datasets.layouts.layout import Found

NAME = "ade20k"
LOOK = "images/training/ADE_train_*.jpg, annotations/training/ADE_train_*.png; 0 is not counted"


def splits(root: Path) -> list[str] | None:
    """`training` and `validation`, told by the names of the images."""
    if not (root / "annotations").is_dir():
        return None
    return subfolders(root / "images") if first_image(root / "images").startswith("ADE_") else None


def find(root: Path, split: str | None) -> Found:
    """The part's pairs."""
    pairs = pairs_by_pattern(root, f"images/{split}/{{}}.jpg", f"annotations/{split}/{{}}.png")
    return Found(pairs, ADE20K, LabelIds(reduce_zero_label=True))
