"""Labelled scenes for the embedded small model, and datasets without files."""

import runpy
from pathlib import Path

import numpy as np
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"
TINY_MODEL = EXAMPLES / "tiny_model"
SCENES = runpy.run_path(str(EXAMPLES / "drawn_scenes.py"))
CLASSES = SCENES["CLASSES"]
SEED = 11
"""First number of the seeds; other tests and the fitting use others."""


def drawn_scenes(root: Path, count: int) -> Path:
    """Writes scenes as a dataset with a split `val` and class names; the same ones every time."""
    images, labels = root / "images" / "val", root / "labels" / "val"
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    for number in range(count):
        image, classes = SCENES["draw_scene"](np.random.default_rng((SEED, number)), 64, 80)
        Image.fromarray(image[..., ::-1]).save(images / f"{number:03d}.png")
        Image.fromarray(classes).save(labels / f"{number:03d}.png")
    (root / "classes.txt").write_text("\n".join(CLASSES), encoding="utf-8")
    return root


def plain_pairs(count, num_classes=3, size=(5, 4)):
    """Pairs of arrays; the image holds its label map's values in each channel."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, num_classes, (count, *size)).astype(np.uint8)
    return [(np.repeat(one[:, :, None], 3, axis=2), one) for one in labels]


def first_channel(images):
    """A model that is always right on `plain_pairs`."""
    return (image[:, :, 0] for image in images)
