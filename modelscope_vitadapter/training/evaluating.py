"""What a run does with its evaluation set: metrics, and images to look at."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.datasets.dataset import SegmentationDataset
from modelscope_vitadapter.datasets.label_ids import IGNORED
from modelscope_vitadapter.datasets.reading import LabelledImage, read_sample
from modelscope_vitadapter.evaluation.evaluator import confusion_matrix
from modelscope_vitadapter.evaluation.metrics import metrics
from modelscope_vitadapter.images.writing import write_image
from modelscope_vitadapter.segmenter import Segmenter

METRIC = "mIoU"
"""What the best model is chosen by."""

LONGEST_SIDE = 640
"""Pixels of a sample image's longer side."""

OPACITY = 0.6
"""Of classes over an image."""


def evaluate_segmenter(segmenter: Segmenter, dataset: SegmentationDataset) -> dict[str, float]:
    """`mIoU`, `aAcc` and `mAcc`, 0 to 1, shared by all processes; in evaluation mode."""
    classes = segmenter.config.settings.head.num_classes
    matrix = confusion_matrix(lambda images: class_maps(segmenter, images), dataset, classes)
    found = metrics(matrix.counts)
    return {METRIC: found.mIoU, "aAcc": found.aAcc, "mAcc": found.mAcc}


def class_maps(segmenter: Segmenter, images: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[Any]]:
    """Class maps `(H, W)` of images `(H, W, 3)` BGR, in order."""
    return (one.class_map.cpu().numpy() for one in segmenter.segment(images))


def draw_samples(
    segmenter: Segmenter, dataset: SegmentationDataset, count: int, folder: Path
) -> list[NDArray[np.uint8]]:
    """Draws the first `count` images of a data set beside their labels and the model's answer.

    Returns:
        What is written to `NUMBER.png` in the folder, `(h, 3 w, 3) uint8 RGB` each.
    """
    config = segmenter.config
    classes = config.settings.head.num_classes
    palette = np.array(config.palette[:classes], np.uint8)
    samples = [
        read_sample(dataset[number], dataset.label_ids, classes)
        for number in range(min(count, len(dataset)))
    ]
    answers = class_maps(segmenter, (sample.image for sample in samples))
    drawn = [_beside(*pair, palette) for pair in zip(samples, answers, strict=True)]
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(drawn):
        write_image(folder / f"{number}.png", image[..., ::-1])
    return drawn


def _beside(
    sample: LabelledImage, answer: NDArray[Any], palette: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """An image, its labels and an answer `(H, W)` in colours `(K, 3)` RGB, side by side."""
    rgb = np.ascontiguousarray(sample.image[..., ::-1])
    parts = [rgb, _painted(rgb, sample.classes, palette), _painted(rgb, answer, palette)]
    scale = min(LONGEST_SIDE / max(rgb.shape[:2]), 1.0)
    size = (max(round(rgb.shape[1] * scale), 1), max(round(rgb.shape[0] * scale), 1))
    resized = [cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in parts]
    joined: NDArray[np.uint8] = np.concatenate(resized, axis=1)
    return joined


def _painted(
    rgb: NDArray[np.uint8], classes: NDArray[Any], palette: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """An image with its classes' colours laid over it; ignored pixels stay as they are."""
    known = classes != IGNORED
    painted: NDArray[np.uint8] = rgb.copy()
    mixed = (1 - OPACITY) * rgb[known] + OPACITY * palette[classes[known]]
    painted[known] = np.rint(mixed).astype(np.uint8)
    return painted
