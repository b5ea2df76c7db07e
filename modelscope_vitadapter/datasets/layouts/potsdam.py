"""ISPRS Potsdam: large aerial images, with colours for the 6 classes."""

import re
from pathlib import Path

from modelscope_vitadapter.datasets.files import LABEL_SUFFIXES, files_below, subfolders
from modelscope_vitadapter.datasets.known_classes import POTSDAM, POTSDAM_COLOURS
from modelscope_vitadapter.datasets.label_ids import LabelIds
from modelscope_vitadapter.datasets.layouts.layout import Found

NAME = "potsdam"
LOOK = "2_Ortho_RGB/top_potsdam_2_10_RGB.tif, 5_Labels_all/top_potsdam_2_10_label.tif"

TILE = re.compile(r"top_potsdam_(\d+_\d+)_(RGB|IRRG|RGBIR|label|label_noBoundary)\.\w+")

VAL = set("2_13 2_14 3_13 3_14 4_13 4_14 4_15 5_13 5_14 5_15 6_13 6_14 6_15 7_13".split())
"""Tiles that the benchmark tests on; it trains on the others."""

PREFERRED = ("RGB", "IRRG", "RGBIR"), ("label_noBoundary", "label")


def splits(root: Path) -> list[str] | None:
    """`train` and `val`, as the benchmark has them."""
    named = any(re.match(r"\d_(Ortho|Labels)", name) for name in subfolders(root))
    tiles = _tiles(root) if named else {}
    names = {"val" if tile in VAL else "train" for tile, kind in tiles if kind in PREFERRED[0]}
    return sorted(names) or None


def find(root: Path, split: str | None) -> Found:
    """The part's pairs; label maps without boundaries are taken where they are there."""
    tiles = _tiles(root)
    pairs = []
    for tile in sorted({tile for tile, _ in tiles if (tile in VAL) == (split == "val")}):
        image, label = (
            next((tiles[tile, kind] for kind in kinds if (tile, kind) in tiles), None)
            for kinds in PREFERRED
        )
        if image is not None:
            pairs.append((image, label))
    return Found(pairs, POTSDAM, LabelIds(colours=POTSDAM_COLOURS))


def _tiles(root: Path) -> dict[tuple[str, str], Path]:
    """The files by tile and kind."""
    matches = ((TILE.fullmatch(path.name), path) for path in files_below(root, LABEL_SUFFIXES))
    return {(match[1], match[2]): path for match, path in matches if match}
