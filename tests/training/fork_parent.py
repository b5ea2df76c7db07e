"""A program that computes in several threads, then forks workers; prints whether they agree."""

import cv2
import numpy as np
import torch

from modelscope_vitadapter.training.augmentation.settings import AugmentationSettings
from modelscope_vitadapter.training.batches import build_loader
from tests.training.drawn_pictures import CLASSES, DrawnPictures


def main():
    torch.set_num_threads(4)
    cv2.setNumThreads(4)
    torch.randn(600, 600) @ torch.randn(600, 600)
    cv2.resize(np.zeros((1000, 1000, 3), np.uint8), (1500, 1500))
    settings = AugmentationSettings(crop_size=(256, 256), scale=(1024, 256))
    found = []
    for workers in (0, 2):
        loader = build_loader(
            DrawnPictures(8),
            settings,
            num_classes=CLASSES,
            batch_size=2,
            workers=workers,
            start_method="fork" if workers else None,
        )
        found.append(list(loader))
    same = all(
        torch.equal(a.images, b.images) and torch.equal(a.classes, b.classes)
        for a, b in zip(*found, strict=True)
    )
    print("same" if same else "different")  # noqa: T201


if __name__ == "__main__":
    main()
