"""The golden cases: inputs as the built-in model was given them, and its answers."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

GOLDEN = Path(__file__).parent.parent / "golden"
CASES = [
    (directory, name)
    for directory, names in {
        "base": ("china", "flower", "gray", "pil", "tall", "tiny", "wide"),
        "tta": ("china", "flower"),
    }.items()
    for name in names
]


@cache
def expected(directory):
    return np.load(GOLDEN / directory / "expected.npz")


def case_input(directory, name):
    """An array as OpenCV reads it, `gray` with one channel, `pil` as a PIL image."""
    path = GOLDEN / directory / f"{name}.png"
    if name == "pil":
        return Image.open(path)
    flag = cv2.IMREAD_GRAYSCALE if name == "gray" else cv2.IMREAD_COLOR
    return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), flag)


def class_map_of(result, classes):
    """The class id of each pixel, put together from masks and labels."""
    masks = result["masks"]
    class_map = np.full(masks[0].shape, -1)
    for mask, label in zip(masks, result["labels"], strict=True):
        class_map[mask.astype(bool)] = classes.index(label)
    return class_map
