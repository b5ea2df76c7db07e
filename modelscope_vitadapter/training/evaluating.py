"""What a run does with its evaluation set: metrics, and images to look at."""

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

LONGEST_SIDE, OPACITY = 640, 0.6
"""Of a sample image in pixels, and of classes over it."""


def evaluate_segmenter(segmenter: Segmenter, dataset: SegmentationDataset) -> dict[str, float]:
    """`mIoU`, `aAcc` and `mAcc`, 0 to 1, shared by all processes; in evaluation mode."""
    matrix = confusion_matrix(
        lambda images: (one.class_map.cpu().numpy() for one in segmenter.segment(images)),
        dataset,
        segmenter.config.settings.head.num_classes,
    )
    found = metrics(matrix.counts)
    return {METRIC: found.mIoU, "aAcc": found.aAcc, "mAcc": found.mAcc}


def draw_samples(
    segmenter: Segmenter, dataset: SegmentationDataset, count: int, folder: Path
) -> list[NDArray[np.uint8]]:
    """Draws the first `count` images of a dataset beside their labels and the model's answer.

    Each is written to `NUMBER.png` in the folder and given, `(h, 3 w, 3) uint8 RGB`.
    """
    classes = segmenter.config.settings.head.num_classes
    palette = np.array(segmenter.config.palette[:classes], np.uint8)
    samples = [
        read_sample(dataset[number], dataset.label_ids, classes)
        for number in range(min(count, len(dataset)))
    ]
    answers = segmenter.segment(sample.image for sample in samples)
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for number, (sample, answer) in enumerate(zip(samples, answers, strict=True)):
        drawn.append(_beside(sample, answer.class_map.cpu().numpy(), palette))
        write_image(folder / f"{number}.png", drawn[-1][..., ::-1])
    return drawn


def _beside(
    sample: LabelledImage, answer: NDArray[Any], palette: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """An image, and colours, `(K, 3)` RGB, laid over it by its labels and an answer `(H, W)`."""
    rgb = np.ascontiguousarray(sample.image[..., ::-1])
    parts = [rgb, rgb.copy(), rgb.copy()]
    for part, classes in zip(parts[1:], (sample.classes, answer), strict=True):
        known = classes != IGNORED
        mixed = (1 - OPACITY) * rgb[known] + OPACITY * palette[classes[known]]
        part[known] = np.rint(mixed).astype(np.uint8)
    scale = min(LONGEST_SIDE / max(rgb.shape[:2]), 1.0)
    size = (max(round(rgb.shape[1] * scale), 1), max(round(rgb.shape[0] * scale), 1))
    resized = [cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in parts]
    joined: NDArray[np.uint8] = np.concatenate(resized, axis=1)
    return joined
