"""Small datasets, written for tests."""

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (6, 4)
"""`(height, width)`."""


def write_image(path: Path, size=SIZE, value=0, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path, **options)
    return path


def write_labels(path: Path, ids) -> Path:
    """A label map of `ids`: an array, or one id for all pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = np.asarray(ids, np.uint8)
    Image.fromarray(np.full(SIZE, ids, np.uint8) if ids.ndim == 0 else ids).save(path)
    return path


def folder_of(root: Path, count=3, split="val", images="images", labels="labels") -> Path:
    """`ROOT/images/SPLIT/N.jpg` beside `ROOT/labels/SPLIT/N.png`; image N is all of class N."""
    for number in range(count):
        write_image(root / images / split / f"{number}.jpg", value=5 * number)
        write_labels(root / labels / split / f"{number}.png", number)
    return root
