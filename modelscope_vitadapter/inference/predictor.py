"""Runs a network over images: windows in batches, then a class for each pixel, strip by strip."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from modelscope_vitadapter.config.settings import Size, WindowSettings
from modelscope_vitadapter.images.transforms import NetworkInput
from modelscope_vitadapter.inference.batches import run_in_batches
from modelscope_vitadapter.inference.class_scores import WindowMasks, averaged_scores
from modelscope_vitadapter.inference.pixel_classes import StripScores, pixel_classes
from modelscope_vitadapter.inference.results import Prediction
from modelscope_vitadapter.inference.sliding_window import ImagePlan, Window, plan_image

CPU_STRIP_BYTES = 16 * 2**20
"""Memory of a strip's scores on a CPU: small enough for the heap to use the same pages again."""

STRIP_BYTES = 256 * 2**20
"""The same on another device, where few large operators are better than many small ones."""

Found = tuple[Window, WindowMasks]
"""A window, and what the network found in it."""


def predict(
    network: nn.Module,
    inputs: Iterable[NetworkInput],
    windows: WindowSettings,
    *,
    num_classes: int,
    batch_size: Callable[[Size], int] = lambda size: 1,
    confidence: bool = False,
    dtype: torch.dtype = torch.float32,
    strip_bytes: int | None = None,
) -> Iterator[Prediction]:
    """Decides the class of each pixel of each image.

    An image is taken from `inputs` only when a batch has room for its windows, and is decided as
    soon as its own are done. What is held of an image does not grow with the number of its windows
    along its longer axis, nor with the number of classes.

    Args:
        network: maps windows `(B, 3, h, w)` to class logits `(B, Q, K + 1)` and mask logits
            `(B, Q, h' / 4, w' / 4)` of the window padded to `(h', w')`.
        inputs: images as the network takes them, on its device.
        windows: how they are cut.
        num_classes: K, without "no object".
        batch_size: the most windows of a size that go through the network together.
        confidence: whether each pixel's probability is wanted too.
        dtype: float32, or what autocast computes in.
        strip_bytes: memory of the scores of one strip; by default chosen for the device.

    Yields:
        A prediction for each image, in order, on its input's device.
    """

    def run(batch: Tensor) -> tuple[Tensor, Tensor]:
        reduced = dtype is not torch.float32
        with torch.autocast(batch.device.type, dtype if reduced else None, enabled=reduced):
            classes, masks = network(batch)
        return classes, masks

    def jobs() -> Iterator[tuple[tuple[ImagePlan, Window], Tensor]]:
        for one in inputs:
            on_cpu = one.views[0].device.type == "cpu"
            limit = strip_bytes or (CPU_STRIP_BYTES if on_cpu else STRIP_BYTES)
            plan = plan_image(one, windows, num_classes=num_classes, strip_bytes=limit)
            for window in plan.windows:
                yield (plan, window), plan.cut(window, one.views)

    answers = _found(run_in_batches(run, jobs(), batch_size))
    for plan, first in answers:
        held = [first]
        del first
        following = (found for _, found in answers)
        yield _decide(plan, held, following, num_classes, confidence=confidence)


def _found(
    answers: Iterable[tuple[tuple[ImagePlan, Window], Tensor, Tensor]],
) -> Iterator[tuple[ImagePlan, Found]]:
    """Keeps of the network's answers what is needed, and no reference to what was handed on."""
    for (plan, window), classes, masks in answers:
        found = WindowMasks.of(classes, masks, transposed=plan.transposed)
        del classes, masks
        yield plan, (window, found)
        del found


def _decide(
    plan: ImagePlan,
    held: list[Found],
    following: Iterator[Found],
    num_classes: int,
    *,
    confidence: bool,
) -> Prediction:
    """Decides an image strip by strip.

    `held` has the answer for the image's first window; those for later ones are added to it as
    strips need them, and each is taken out of it after its last strip.
    """
    device = plan.views[0].rows.share.device
    # As a rule one byte holds a class id; the eight that are given in the end are taken once.
    narrow = torch.uint8 if num_classes <= 256 else torch.int32
    class_map = torch.empty(plan.size, dtype=narrow, device=device)
    best = torch.empty(plan.size, dtype=torch.float16, device=device) if confidence else None
    waiting = len(plan.windows) - 1
    for strip in plan.strips:
        while waiting and plan.windows[-waiting].image_rows.start < strip.stop:
            waiting -= 1
            held.append(next(following))
        views = [_strip_scores(plan, strip, held, number) for number in range(len(plan.views))]
        classes, chances = pixel_classes(views, confidence=confidence, enlarged=plan.is_enlarged)
        class_map[strip.start : strip.stop] = classes
        if best is not None and chances is not None:
            best[strip.start : strip.stop] = chances
        held[:] = [one for one in held if one[0].image_rows.stop > strip.stop]
    if plan.transposed:
        class_map, best = class_map.t(), None if best is None else best.t()
    return Prediction(class_map.contiguous().long(), None if best is None else best.contiguous())


def _strip_scores(plan: ImagePlan, strip: range, held: Sequence[Found], number: int) -> StripScores:
    """The scores that a view has for a strip."""
    view = plan.views[number]
    needed = view.rows_of(strip)
    parts = [
        (window, found)
        for window, found in held
        if window.view == number and window.top < needed.stop and needed.start < window.bottom
    ]
    positions = torch.arange(strip.start, strip.stop, device=view.rows.low.device)
    return StripScores(
        scores=averaged_scores(parts, needed, view.size[1]),
        rows=view.rows.at(positions).minus(needed.start),
        columns=view.columns,
    )
