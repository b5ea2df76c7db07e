"""Runs a network over images: windows in batches, then a class for each pixel, strip by strip."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count

import torch
from torch import Tensor, nn

from modelscope_vitadapter.config.settings import Size, WindowSettings
from modelscope_vitadapter.images.transforms import NetworkInput
from modelscope_vitadapter.inference.batches import run_in_batches
from modelscope_vitadapter.inference.class_scores import WindowMasks, averaged_scores
from modelscope_vitadapter.inference.memory import check_probabilities_fit
from modelscope_vitadapter.inference.pixel_classes import StripScores, pixel_classes
from modelscope_vitadapter.inference.pixel_maps import PixelMaps
from modelscope_vitadapter.inference.probabilities import Keep, kept_probabilities
from modelscope_vitadapter.inference.results import Prediction
from modelscope_vitadapter.inference.sliding_window import ImagePlan, Window, plan_image
from modelscope_vitadapter.inference.wanted import CLASS_ONLY, Wanted

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
    wanted: Wanted = CLASS_ONLY,
    dtype: torch.dtype = torch.float32,
    strip_bytes: int | None = None,
) -> Iterator[Prediction]:
    """Decides the class of each pixel of each image.

    An image is taken from `inputs` only when a batch has room for its windows, and is decided as
    soon as its own are done. What is held of an image does not grow with the number of its windows
    along its longer axis, nor with the number of classes. Where the probabilities of all classes
    are wanted it grows with the windows side by side: they are kept row by row, since a column of
    pixels lies all over a file.

    Args:
        network: maps windows `(B, 3, h, w)` to class logits `(B, Q, K + 1)` and mask logits
            `(B, Q, h' / 4, w' / 4)` of the window padded to `(h', w')`.
        inputs: images as the network takes them, on its device.
        windows: how they are cut.
        num_classes: K, without "no object".
        batch_size: the most windows of a size that go through the network together.
        wanted: what is given beside the class of each pixel.
        dtype: float32, or what autocast computes in.
        strip_bytes: memory of the scores of one strip; by default chosen for the device.

    Yields:
        A prediction for each image, in order, on its input's device; probabilities of all classes
        are on the CPU or in a file.

    Raises:
        ImageMemoryError: probabilities of all classes need more memory than is free.
        OSError: the file of these can't be written.
        ValueError: `wanted` has a value that is not allowed.
    """
    wanted = wanted.checked(num_classes)

    def run(batch: Tensor) -> tuple[Tensor, Tensor]:
        reduced = dtype is not torch.float32
        with torch.autocast(batch.device.type, dtype if reduced else None, enabled=reduced):
            classes, masks = network(batch)
        return classes, masks

    jobs = _jobs(inputs, windows, num_classes, wanted, strip_bytes)
    answers = _found(run_in_batches(run, jobs, batch_size))
    numbers = count()  # enumerate would hold on to what it gave
    for plan, first in answers:
        held = [first]
        del first
        following = (found for _, found in answers)
        with kept_probabilities(wanted, next(numbers), num_classes, plan.size) as (keep, kept):
            maps = _decide(plan, held, following, num_classes, wanted, keep)
        yield maps.prediction(plan.transposed, kept)


def _jobs(
    inputs: Iterable[NetworkInput],
    windows: WindowSettings,
    num_classes: int,
    wanted: Wanted,
    strip_bytes: int | None,
) -> Iterator[tuple[tuple[ImagePlan, Window], Tensor]]:
    """The windows of all images, each cut out when it is asked for."""
    for one in inputs:
        if wanted.probabilities is True:
            check_probabilities_fit(one.image_size, num_classes)
        on_cpu = one.views[0].device.type == "cpu"
        plan = plan_image(
            one,
            windows,
            num_classes=num_classes,
            strip_bytes=strip_bytes or (CPU_STRIP_BYTES if on_cpu else STRIP_BYTES),
            may_transpose=not wanted.probabilities,
        )
        for window in plan.windows:
            yield (plan, window), plan.cut(window, one.views)


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
    wanted: Wanted,
    keep: Keep | None,
) -> PixelMaps:
    """Decides an image strip by strip.

    `held` has the answer for the image's first window; those for later ones are added to it as
    strips need them, and each is taken out of it after its last strip. `keep` is given the
    probabilities of all classes.
    """
    maps = PixelMaps.empty(plan.size, num_classes, wanted, plan.views[0].rows.share.device)
    waiting = len(plan.windows) - 1
    for strip in plan.strips:
        while waiting and plan.windows[-waiting].image_rows.start < strip.stop:
            waiting -= 1
            held.append(next(following))
        views = [_strip_scores(plan, strip, held, number) for number in range(len(plan.views))]
        ids, chances = pixel_classes(
            views,
            count=wanted.top_k or 1,
            probabilities=wanted.every_pixel,
            enlarged=plan.is_enlarged,
            keep=keep,
            start=strip.start * plan.size[1],
        )
        maps.fill(strip, ids, chances)
        held[:] = [one for one in held if one[0].image_rows.stop > strip.stop]
    return maps


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
