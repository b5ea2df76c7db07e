"""A data set of drawn pictures, importable by name, so that it can be sent to spawned workers."""

from __future__ import annotations

import os

import cv2
import numpy as np
import torch

from modelscope_vitadapter.datasets.dataset import Sample
from modelscope_vitadapter.datasets.label_ids import LabelIds

CLASSES = 5


class DrawnPictures:
    """`count` pictures of different sizes, each made when it is asked for.

    `broken`: paths of files to be given in place of some pictures, by index. `forbidden`: indices
    that must not be asked for. `asked` is what was asked for in this process.
    """

    label_ids = LabelIds()

    def __init__(self, count, broken=None, forbidden=()):
        self.count = count
        self.broken = broken or {}
        self.forbidden = frozenset(forbidden)
        self.asked = []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index in self.forbidden:
            raise AssertionError(f"picture {index} was asked for")
        self.asked.append(index)
        rng = np.random.default_rng(index)
        size = (int(rng.integers(20, 90)), int(rng.integers(20, 90)))
        image = rng.integers(0, 256, (*size, 3), np.uint8)
        label = np.kron(rng.integers(0, CLASSES, (9, 9)), np.ones((10, 10), int))
        label = label[: size[0], : size[1]].astype(np.uint8)
        name = f"picture {index}"
        if index in self.broken:
            name = image = str(self.broken[index])
        return Sample(name, image, label, f"label map {index}")


class ThreadCounts(DrawnPictures):
    """Pictures whose names tell how many threads PyTorch and OpenCV would use to read them."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        name = f"{torch.get_num_threads()} {cv2.getNumThreads()}"
        return Sample(name, sample.image, sample.label, sample.label_name)


class ProcessIds(DrawnPictures):
    """Pictures whose names tell which process read them."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return Sample(str(os.getpid()), sample.image, sample.label, sample.label_name)


class Failing(DrawnPictures):
    """A data set that fails to give its picture 3."""

    def __init__(self, count, error):
        super().__init__(count)
        self.error = error

    def __getitem__(self, index):
        if index == 3:
            raise self.error
        return super().__getitem__(index)
