"""Runs a network over pictures: windows in batches, strips of the picture, decision."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modelscope_vitadapter.config.settings import WindowSettings
from modelscope_vitadapter.images.transforms import NetworkInput
from modelscope_vitadapter.inference.batches import run_in_batches
from modelscope_vitadapter.inference.decision import Field, decide
from modelscope_vitadapter.inference.results import Prediction
from modelscope_vitadapter.inference.scores import WindowScores, averaged_scores
from modelscope_vitadapter.inference.sweep import Strip, Sweep, Task, plan_sweep, reaches
from modelscope_vitadapter.inference.windows import Size
from modelscope_vitadapter.network.stages import RESIZE, stage

CPU_STRIP_BYTES = 16 * 2**20
"""Memory of a strip's scores on a CPU: small enough for the heap to use the same pages again."""

STRIP_BYTES = 256 * 2**20
"""The same on another device, where few large operators are better than many small ones."""


@dataclass(frozen=True)
class Answer:
    """What the network found in the window of a task."""

    task: Task
    prediction: WindowScores


def predict(
    network: nn.Module,
    inputs: Iterable[NetworkInput],
    windows: WindowSettings,
    *,
    num_classes: int,
    align_corners: bool = False,
    batch_size: Callable[[Size], int] = lambda size: 1,
    confidence: bool = False,
    dtype: torch.dtype = torch.float32,
    strip_bytes: int | None = None,
) -> Iterator[Prediction]:
    """Decides the class of each pixel of each picture.

    A picture is taken from `inputs` only when a batch has room for its windows, and is decided
    as soon as its own are done. What is held of a picture does not grow with the number of its
    windows along its longer axis, nor with the number of classes.

    Args:
        network: maps windows `(B, 3, h, w)` to class and mask logits, see `scores.window_scores`.
        inputs: images as the network takes them, on its device.
        windows: how inputs are cut.
        num_classes: K, without "no object".
        align_corners: how scores are resized.
        batch_size: the most windows of a size that go through the network together.
        confidence: whether each pixel's probability is wanted too.
        dtype: float32, or what autocast computes in.
        strip_bytes: memory of the scores of one strip; by default chosen for the device.

    Yields:
        A decision for each picture, in order, on its inputs' device.
    """

    def run(batch: Tensor) -> tuple[Tensor, Tensor]:
        reduced = dtype is not torch.float32
        with torch.autocast(batch.device.type, dtype if reduced else None, enabled=reduced):
            classes, masks = network(batch)
        return classes, masks

    def jobs() -> Iterator[tuple[tuple[Sweep, Task], Tensor]]:
        for picture in inputs:
            sweep = _plan(picture, windows, num_classes, align_corners, strip_bytes)
            for task in sweep.tasks:
                window = task.window.transposed() if sweep.transposed else task.window
                yield (sweep, task), window.of(picture.views[task.layer])

    answers = _answers(run_in_batches(run, jobs(), batch_size))
    for sweep, first in answers:
        held = [first]
        del first
        rest = (answer for _, answer in answers)
        yield _decide(
            sweep, held, rest, num_classes, align_corners=align_corners, confidence=confidence
        )


def _answers(
    results: Iterable[tuple[tuple[Sweep, Task], Tensor, Tensor]],
) -> Iterator[tuple[Sweep, Answer]]:
    """Keeps of the network's answers what is needed, and no reference to what was handed on."""
    for (sweep, task), classes, masks in results:
        prediction = WindowScores.of(classes, masks, transposed=sweep.transposed)
        del classes, masks
        yield sweep, Answer(task, prediction)
        del prediction


def _plan(
    picture: NetworkInput,
    windows: WindowSettings,
    num_classes: int,
    align_corners: bool,
    strip_bytes: int | None,
) -> Sweep:
    device = picture.views[0].device
    if strip_bytes is None:
        strip_bytes = CPU_STRIP_BYTES if device.type == "cpu" else STRIP_BYTES
    return plan_sweep(
        [(int(image.shape[-2]), int(image.shape[-1])) for image in picture.views],
        picture.flips,
        picture.image_size,
        windows,
        num_classes=num_classes,
        align_corners=align_corners,
        strip_bytes=strip_bytes,
        device=device,
    )


def _decide(
    sweep: Sweep,
    held: list[Answer],
    answers: Iterator[Answer],
    num_classes: int,
    *,
    align_corners: bool,
    confidence: bool,
) -> Prediction:
    """Decides a picture strip by strip.

    `held` has the answer to the picture's first task; answers to later ones are added to it as
    strips need them, and each is taken out of it after its last strip.
    """
    device = sweep.layers[0].rows.weight.device
    # As a rule one byte holds a class id; the eight that are given in the end are taken once.
    narrow = torch.uint8 if num_classes <= 256 else torch.int32
    class_map = torch.empty(sweep.size, dtype=narrow, device=device)
    best = torch.empty(sweep.size if confidence else 0, dtype=torch.float16, device=device)
    inputs_pixels = sum(layer.size[0] * layer.size[1] for layer in sweep.layers)
    enlarged = sweep.size[0] * sweep.size[1] > inputs_pixels
    waiting = deque(sweep.tasks[1:])
    for number, strip in enumerate(sweep.strips):
        while waiting and waiting[0].first_strip <= number:
            waiting.popleft()
            held.append(next(answers))
        with stage(RESIZE):
            fields = [
                _field(sweep, strip, layer, held, align_corners)
                for layer in range(len(sweep.layers))
            ]
            classes, chances = decide(fields, confidence=confidence, clear=enlarged)
            rows = slice(strip.rows.start, strip.rows.stop)
            class_map[rows] = classes
            if confidence:
                best[rows] = chances
        held[:] = [answer for answer in held if answer.task.last_strip > number]
    if sweep.transposed:
        class_map, best = class_map.t(), best.t()
    return Prediction(class_map.contiguous().long(), best.contiguous() if confidence else None)


def _field(
    sweep: Sweep, strip: Strip, number: int, held: Sequence[Answer], align_corners: bool
) -> Field:
    """A layer's scores for a strip."""
    layer, span = sweep.layers[number], strip.spans[number]
    parts = [
        (answer.task.window, answer.prediction)
        for answer in held
        if answer.task.layer == number and reaches(answer.task.window, span)
    ]
    scores = averaged_scores(parts, span, layer.size[1], align_corners=align_corners)
    rows = torch.arange(strip.rows.start, strip.rows.stop, device=scores.device)
    return Field(scores, layer.rows.at(rows).minus(span.start), layer.columns)
