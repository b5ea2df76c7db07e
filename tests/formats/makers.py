"""Class maps with what outlines and run lengths may get wrong."""

import numpy as np

from modelscope_vitadapter.formats.segmentation import Segmentation

CLASSES = ("road", 'wall <&> "wall"', "天空", "tree")
PALETTE = ((128, 64, 128), (0, 0, 0), (70, 130, 180), (107, 142, 35))

NESTED = """
    0 0 0 0 0 0 0 0 0 0 0
    0 1 1 1 1 0 0 2 0 3 0
    0 1 0 0 1 0 2 0 0 0 3
    0 1 0 2 1 0 0 0 2 2 2
    0 1 1 1 1 0 . . 2 . 2
    0 0 0 0 0 0 . . 2 2 2
    3 0 1 0 1 0 1 0 0 0 0
    """
"""Holes with islands in them, two holes in a row, diagonal neighbours, single pixels, no class."""


def nested():
    return np.array([line.replace(".", "-1").split() for line in NESTED.split("\n")[1:-1]], int)


def labelled(class_map, name="street/1.jpg", classes=CLASSES, palette=PALETTE):
    return Segmentation(np.asarray(class_map), classes, palette, name)


def many_classes(count=700):
    random = np.random.default_rng(1)
    return labelled(
        random.integers(-1, count, (30, 40)),
        classes=tuple(f"class {one}" for one in range(count)),
        palette=tuple((one % 256, one // 256, 7) for one in range(count)),
    )


def random_maps(count, seed=0):
    """Class maps of up to 4 classes and 24 pixels a side, from blots to noise."""
    random = np.random.default_rng(seed)
    for number in range(count):
        height, width = random.integers(1, 13, 2)
        class_map = random.integers(-1, random.integers(1, 5), (height, width))
        yield np.kron(class_map, np.ones((2, 2), int)) if number % 2 else class_map


def examples():
    """Every kind of class map, under names in folders."""
    maps = [nested(), np.zeros((3, 5), int), np.full((2, 2), -1), [[3]], *random_maps(20)]
    return [labelled(one, f"street/{number}.jpg") for number, one in enumerate(maps)]


def assert_same(one, other):
    assert (one.class_map == other.class_map).all()
    assert (one.classes, one.palette, one.name) == (other.classes, other.palette, other.name)
