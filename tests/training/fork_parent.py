"""A program that computes in several threads, then forks workers; prints whether they agree."""

import multiprocessing

import cv2
import numpy as np
import torch

from tests.training.drawn_images import DrawnImages
from tests.training.test_loader import loader_of, same


def main():
    multiprocessing.set_start_method("fork")
    torch.set_num_threads(4)
    cv2.setNumThreads(4)
    torch.randn(600, 600) @ torch.randn(600, 600)
    cv2.resize(np.zeros((1000, 1000, 3), np.uint8), (1500, 1500))
    alone, forked = (list(loader_of(DrawnImages(8), workers=n).epoch(0)) for n in (0, 2))
    print("same" if all(map(same, alone, forked)) else "different")  # noqa: T201


if __name__ == "__main__":
    main()
