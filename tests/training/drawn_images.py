"""A data set of drawn images, importable by name, so that it can be sent to spawned workers."""

import os

import cv2
import numpy as np
import torch

from modelscope_vitadapter.datasets.dataset import Sample
from modelscope_vitadapter.datasets.label_ids import LabelIds

CLASSES = 5


class DrawnImages:
    """`count` images of different sizes, each made when it is asked for.

    `broken`: paths of files to be given in place of some images, by index. `failing`: errors to be
    raised, by index. `unlabelled`: indices of images without a class. `asked` is what was asked for
    in this process.
    """

    label_ids = LabelIds()

    def __init__(self, count, broken=None, failing=None, unlabelled=()):
        self.count = count
        self.unlabelled = unlabelled
        self.broken = broken or {}
        self.failing = failing or {}
        self.asked = []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index in self.failing:
            raise self.failing[index]
        self.asked.append(index)
        rng = np.random.default_rng(index)
        size = (int(rng.integers(20, 90)), int(rng.integers(20, 90)))
        image = rng.integers(0, 256, (*size, 3), np.uint8)
        label = np.kron(rng.integers(0, CLASSES, (9, 9)), np.ones((10, 10), int))
        label = label[: size[0], : size[1]].astype(np.uint8)
        label[:] = 255 if index in self.unlabelled else label
        name = f"image {index}"
        if index in self.broken:
            name = image = str(self.broken[index])
        return Sample(name, image, label, f"label map {index}")


class ToldBy(DrawnImages):
    """Images whose names tell which process read them, and in how many threads it would compute."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        name = f"{os.getpid()} {torch.get_num_threads()} {cv2.getNumThreads()}"
        return Sample(name, sample.image, sample.label, sample.label_name)
