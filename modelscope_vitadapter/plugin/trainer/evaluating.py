"""What a trainer does with its evaluation set: figures, and pictures to look at."""

from collections.abc import Iterable, Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.datasets.dataset import IGNORED, SegmentationDataset
from modelscope_vitadapter.datasets.reading import LabelledImage, read_sample
from modelscope_vitadapter.distributed import process_index
from modelscope_vitadapter.evaluation.evaluator import confusion_matrix
from modelscope_vitadapter.evaluation.metrics import metrics
from modelscope_vitadapter.images.writing import write_image
from modelscope_vitadapter.plugin.model import VitAdapterSemanticSegmentation
from modelscope_vitadapter.plugin.preprocessor import VitAdapterSegmentationPreprocessor
from modelscope_vitadapter.plugin.trainer.settings import RunSettings

LONGEST_SIDE = 640
"""Pixels of a sample picture's longer side."""

OPACITY = 0.6
"""Of classes over a picture."""


def evaluate_model(
    model: VitAdapterSemanticSegmentation, pictures: SegmentationDataset
) -> dict[str, float]:
    """`mIoU`, `aAcc` and `mAcc` of a model in evaluation mode, 0 to 1; shared by all processes."""
    matrix = confusion_matrix(lambda images: class_maps(model, images), pictures, model.num_classes)
    found = metrics(matrix.counts)
    return {"mIoU": found.mIoU, "aAcc": found.aAcc, "mAcc": found.mAcc}


def class_maps(
    model: VitAdapterSemanticSegmentation, images: Iterable[NDArray[np.uint8]]
) -> Iterator[NDArray[Any]]:
    """Class maps `(H, W)` of pictures `(H, W, 3)` BGR, in order, as the pipeline gives them."""
    prepare = VitAdapterSegmentationPreprocessor(config=model.cfg)
    decisions = model.forward({"images": map(prepare, images)})
    for decision in decisions:
        yield decision.class_map.cpu().numpy()


def draw_samples(
    model: VitAdapterSemanticSegmentation,
    pictures: SegmentationDataset,
    settings: RunSettings,
    *,
    step: int,
) -> dict[str, Any]:
    """Draws the first pictures of a data set beside their labels and the model's answer.

    Only the first process draws, to `samples/iter_STEP/NUMBER.png` in the run's directory.

    Args:
        model: in evaluation mode.
        pictures: the data set.
        settings: how many are drawn, and where.
        step: after which the model is as it is.

    Returns:
        `predictions`, with `images`, `(h, 3 w, 3) uint8 RGB` each, and `filenames`, as ModelScope's
        TensorBoard hook takes them; empty where nothing is drawn.
    """
    count, folder = settings.sample_pictures, settings.work_dir / "samples" / f"iter_{step}"
    chosen = range(min(count, len(pictures)))
    if process_index() != 0 or not chosen:
        return {}
    samples = [
        read_sample(pictures[number], pictures.label_ids, model.num_classes) for number in chosen
    ]
    palette = np.array(model.PALETTE[: model.num_classes], np.uint8)
    answers = class_maps(model, (sample.image for sample in samples))
    drawn = [
        beside(sample, answer, palette) for sample, answer in zip(samples, answers, strict=True)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(drawn):
        write_image(folder / f"{number}.png", picture[..., ::-1])
    return {"predictions": {"images": drawn, "filenames": [str(number) for number in chosen]}}


def beside(
    sample: LabelledImage, answer: NDArray[Any], palette: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """A picture, its labels and an answer beside each other, `(h, 3 w, 3) uint8 RGB`.

    Args:
        sample: picture and labels.
        answer: `(H, W)` class ids.
        palette: `(K, 3)` RGB.
    """
    rgb = sample.image[..., ::-1]
    parts = [rgb, painted(rgb, sample.classes, palette), painted(rgb, answer, palette)]
    scale = min(LONGEST_SIDE / max(rgb.shape[:2]), 1.0)
    size = (max(round(rgb.shape[1] * scale), 1), max(round(rgb.shape[0] * scale), 1))
    resized = [
        cv2.resize(np.ascontiguousarray(part), size, interpolation=cv2.INTER_AREA) for part in parts
    ]
    joined: NDArray[np.uint8] = np.concatenate(resized, axis=1)
    return joined


def painted(
    rgb: NDArray[np.uint8], classes: NDArray[Any], palette: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """A picture with its classes' colours laid over it; ignored pixels stay as they are."""
    known = classes != IGNORED
    colours = palette[np.where(known, classes, 0)]
    mixed = (1 - OPACITY) * rgb + OPACITY * colours
    result: NDArray[np.uint8] = np.where(known[..., None], np.rint(mixed), rgb).astype(np.uint8)
    return result
