"""Small data sets, written for tests."""

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (6, 4)
"""`(height, width)`."""


def write_picture(path: Path, size=SIZE, value=0, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((*size, 3), value, np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


def write_labels(path: Path, ids, dtype=np.uint8, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = np.asarray(ids, dtype)
    if ids.ndim == 0:
        ids = np.full(SIZE, ids, dtype)
    Image.fromarray(ids).save(path, **options)
    return path


def folder_of(root: Path, count=3, split="val", images="images", labels="labels") -> Path:
    """`ROOT/images/SPLIT/N.jpg` beside `ROOT/labels/SPLIT/N.png`; picture N is all of class N."""
    for number in range(count):
        write_picture(root / images / split / f"{number}.jpg", value=5 * number)
        write_labels(root / labels / split / f"{number}.png", number)
    return root
