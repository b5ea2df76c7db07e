"""LoveDA: aerial images of towns and country, whose 7 classes have ids from 1."""

from pathlib import Path

from modelscope_vitadapter.datasets.files import pairs_by_pattern
from modelscope_vitadapter.datasets.known_classes import LOVEDA
from modelscope_vitadapter.datasets.label_ids import LabelIds
from modelscope_vitadapter.datasets.layouts.layout import Found

NAME = "loveda"
LOOK = "Train/Urban/images_png/x.png, Train/Urban/masks_png/x.png, Rural, Val; 0 is not counted"


def splits(root: Path) -> list[str] | None:
    """Parts that have labels."""
    labels = (one for area in ("Rural", "Urban") for one in root.glob(f"*/{area}/masks_png"))
    return sorted({one.parents[1].name for one in labels}) or None


def find(root: Path, split: str | None) -> Found:
    """The part's pairs."""
    pairs = pairs_by_pattern(
        root, f"{split}/{{}}/images_png/{{}}.*", f"{split}/{{}}/masks_png/{{}}.*"
    )
    return Found(pairs, LOVEDA, LabelIds(reduce_zero_label=True))
