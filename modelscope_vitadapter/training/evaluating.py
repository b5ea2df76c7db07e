"""What a run does with its evaluation set: metrics, and images to look at."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.datasets.dataset import SegmentationDataset
from modelscope_vitadapter.datasets.reading import LabelledImage, read_sample
from modelscope_vitadapter.evaluation.evaluator import confusion_matrix
from modelscope_vitadapter.evaluation.metrics import metrics
from modelscope_vitadapter.images.drawing import fit_within, overlay
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
    found = metrics(matrix.counts, dataset.label_ids.excluded)
    return {METRIC: found.mIoU, "aAcc": found.aAcc, "mAcc": found.mAcc}


def draw_samples(
    segmenter: Segmenter, dataset: SegmentationDataset, count: int, folder: Path
) -> list[NDArray[np.uint8]]:
    """Draws the first `count` images of a dataset beside their labels and the model's answer.

    Each is written to `NUMBER.png` in the folder and given, `(h, 3 w, 3) uint8 RGB`.
    """
    classes = segmenter.config.settings.head.num_classes
    palette = segmenter.config.palette[:classes]
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
    sample: LabelledImage, answer: NDArray[Any], palette: Sequence[Sequence[int]]
) -> NDArray[np.uint8]:
    """An image, and colours, `[R, G, B]`, laid over it by its labels and an answer `(H, W)`."""
    rgb = np.ascontiguousarray(sample.image[..., ::-1])
    drawn = [overlay(rgb, classes, palette, OPACITY) for classes in (sample.classes, answer)]
    joined: NDArray[np.uint8] = np.concatenate(
        [fit_within(part, LONGEST_SIDE) for part in (rgb, *drawn)], axis=1
    )
    return joined
