"""What processes do that these tests start; importable by name, so that they can be spawned."""

import os
from pathlib import Path

import cv2
import numpy as np
from modelscope.pipelines import pipeline

import modelscope_vitadapter  # noqa: F401  # registers its classes, also where no hook is installed

MODEL = Path(__file__).parents[1] / "golden" / "base"

_FLOWER = cv2.imread(str(MODEL / "flower.png"))

PICTURES = [
    np.ascontiguousarray(_FLOWER[top : top + height, left : left + width])
    for top, left, height, width in [
        *((0, 0, 60, 60), (10, 20, 60, 90), (30, 5, 90, 60), (40, 40, 64, 64)),
        *((20, 60, 33, 47), (5, 5, 100, 70)),
    ]
]
"""Parts of a golden picture, of one to three windows each."""

built = None
"""The pipeline of a process that was started with `build_here`."""


def build(model=MODEL, **options):
    return pipeline("image-segmentation", model=str(model), device="cpu", **options)


def build_here():
    global built
    built = build()


def class_map(segmentor, picture):
    return segmentor(picture, output="class_map")["class_map"]


def answer(index):
    return class_map(built, PICTURES[index])


def answer_of(segmentor, index):
    return class_map(segmentor, PICTURES[index])


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def memory_over_calls(count):
    """Bytes in use after each of `count` calls of all kinds."""
    segmentor = build()
    forms = [
        lambda i: segmentor(PICTURES[i % 6]),
        lambda i: segmentor(PICTURES[i % 6], output="class_map", confidence=True),
        lambda i: segmentor([PICTURES[i % 6], b"no picture"], on_error=lambda failure: None),
        lambda i: list(segmentor(iter(PICTURES[i % 6 : i % 6 + 1]))),
    ]
    used = []
    for i in range(count):
        forms[i % len(forms)](i)
        used.append(resident_bytes())
    return used
