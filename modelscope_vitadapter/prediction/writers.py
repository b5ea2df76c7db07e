"""Outputs of an image, by kind; each is written aside and renamed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modelscope_vitadapter.checkpoint.save import written_aside
from modelscope_vitadapter.config.model_config import ModelConfig
from modelscope_vitadapter.formats import coco_rle, id_png, labelme, npz, yolo
from modelscope_vitadapter.formats.segmentation import Palette, Segmentation
from modelscope_vitadapter.inference.results import Prediction
from modelscope_vitadapter.inference.wanted import Wanted
from modelscope_vitadapter.visualization import color_map, draw

JPEG_QUALITY = 92


@dataclass(frozen=True)
class Answer:
    """An image and what was found in it."""

    image: NDArray[Any]  # (H, W, 3) BGR
    class_map: NDArray[np.int32]  # (H, W); -1 where there is no class
    confidence: NDArray[np.float16] | None  # (H, W), 0 to 1
    classes: Sequence[str]
    palette: Palette

    @classmethod
    def of(
        cls,
        prediction: Prediction,
        image: NDArray[Any],
        config: ModelConfig,
        keep: Sequence[int] | None,
        threshold: float | None,
    ) -> "Answer":
        """From a prediction; classes beside `keep`, and pixels below the threshold, have none."""
        class_map = prediction.class_map.cpu().numpy().astype(np.int32)
        confidence = _array(prediction.confidence)
        if keep is not None:
            class_map[~np.isin(class_map, keep)] = -1
        if threshold is not None and confidence is not None:
            class_map[confidence < threshold] = -1
        count = len(config.classes)
        return cls(
            image,
            class_map,
            confidence,
            config.classes,
            tuple((one[0], one[1], one[2]) for one in config.palette[:count]),
        )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.class_map.shape
        return height, width

    @property
    def counts(self) -> NDArray[np.int64]:
        """Pixels of each class, `(K,)`."""
        return np.bincount(self.class_map.ravel() + 1, minlength=len(self.classes) + 1)[1:]

    def segmentation(self, name: str) -> Segmentation:
        """What formats take."""
        return Segmentation(self.class_map, tuple(self.classes), self.palette, name)


def class_shares(
    counts: NDArray[np.int64], classes: Sequence[str], total: int
) -> tuple[Mapping[str, Any], ...]:
    """The classes that are there, with their pixels and share of all pixels, largest first."""
    return tuple(
        {
            "id": int(one),
            "name": classes[one],
            "pixels": int(counts[one]),
            "share": round(int(counts[one]) / total, 6),
        }
        for one in np.argsort(-counts, kind="stable")
        if counts[one]
    )


def _array(tensor: Any) -> NDArray[Any] | None:
    return None if tensor is None else tensor.cpu().numpy()


def wanted_for(
    kinds: Iterable[str], threshold: float | None, folder: Path, name_of: Callable[[int], str]
) -> Wanted:
    """What the model is asked for, for these outputs; probabilities go to their files at once.

    `name_of` gives the name of the outputs of an input by its number.
    """
    given = set(kinds)

    def place(number: int) -> Path:
        path = folder / f"probabilities/{name_of(number)}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    return Wanted(
        confidence="confidence" in given or threshold is not None,
        probabilities=place if "probabilities" in given else False,
    )


def save(
    answer: Answer,
    name: str,
    folder: Path,
    kinds: Sequence[str],
    *,
    source: str,
    drawing: Mapping[str, Any],
) -> dict[str, str]:
    """Writes outputs to `FOLDER/KIND/NAME.SUFFIX`; gives their paths, relative to the folder.

    Raises:
        OSError: one can't be written.
    """
    outputs = {}
    for kind in kinds:
        suffix, write = WRITERS[kind]
        place = f"{kind}/{name}{suffix}"
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, answer, source, drawing)
        outputs[kind] = place
    return outputs


def _overlay(path: Path, answer: Answer, source: str, drawing: Mapping[str, Any]) -> None:
    picture = draw(answer.image, answer.class_map, answer.classes, answer.palette, **drawing)
    _save_image(path, picture, quality=JPEG_QUALITY)


def _color(path: Path, answer: Answer, source: str, drawing: Mapping[str, Any]) -> None:
    _save_image(path, Image.fromarray(color_map(answer.class_map, answer.palette)))


def _confidence(path: Path, answer: Answer, source: str, drawing: Mapping[str, Any]) -> None:
    assert answer.confidence is not None
    values = np.rint(answer.confidence.astype(np.float32) * 65535).astype(np.uint16)
    _save_image(path, Image.fromarray(values))


def _probabilities(path: Path, answer: Answer, source: str, drawing: Mapping[str, Any]) -> None:
    """Nothing: the model wrote them, see `wanted_for`."""


def _masks(path: Path, answer: Answer, source: str, drawing: Mapping[str, Any]) -> None:
    """A folder of masks; that of an earlier answer is emptied first."""
    path.mkdir(exist_ok=True)
    for old in path.glob("*.png"):
        old.unlink()
    for one in np.unique(answer.class_map[answer.class_map >= 0]).tolist():
        _save_image(path / f"{one:03d}.png", Image.fromarray(answer.class_map == one))


def _save_image(path: Path, image: Image.Image, **options: Any) -> None:
    kind = "JPEG" if path.suffix == ".jpg" else "PNG"
    with written_aside(path) as aside, aside.open("wb") as file:
        image.save(file, kind, **options)


def _labels(path: Path, answer: Answer, source: str, drawing: Mapping[str, Any]) -> None:
    id_png.write(path, answer.segmentation(source))


def _json(path: Path, answer: Answer, source: str, drawing: Mapping[str, Any]) -> None:
    coco_rle.write(path, [answer.segmentation(source)])


def _polygons(path: Path, answer: Answer, source: str, drawing: Mapping[str, Any]) -> None:
    labelme.write(path, answer.segmentation(source))


def _npz(path: Path, answer: Answer, source: str, drawing: Mapping[str, Any]) -> None:
    npz.write(path, answer.segmentation(source))


def _yolo(path: Path, answer: Answer, source: str, drawing: Mapping[str, Any]) -> None:
    yolo.write(path, answer.segmentation(source))


Write = Callable[[Path, Answer, str, Mapping[str, Any]], None]

WRITERS: dict[str, tuple[str, Write]] = {
    "overlay": (".jpg", _overlay),
    "labels": (".png", _labels),
    "color": (".png", _color),
    "json": (".json", _json),
    "polygons": (".json", _polygons),
    "confidence": (".png", _confidence),
    "probabilities": (".npy", _probabilities),
    "masks": ("", _masks),
    "npz": (".npz", _npz),
    "yolo": (".txt", _yolo),
}
"""Suffix and function of each kind, see `kinds.KINDS`."""
