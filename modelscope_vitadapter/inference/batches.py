"""Windows through the network in batches that fit into memory."""

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import groupby, islice
from typing import TypeVar

import torch
from torch import Tensor

from modelscope_vitadapter.config.settings import ModelSettings, Size
from modelscope_vitadapter.inference.memory import (
    free_memory,
    is_out_of_memory,
    out_of_memory,
    release_cached_memory,
)
from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.network.segmentor import SIZE_DIVISOR

MAX_BATCH = 8
"""Windows in a batch at most: a GPU is busy by then."""

MEMORY_SHARE = 0.5
"""Part of the free memory that a batch may take."""

UNKNOWN_MEMORY = 2**30
"""Bytes that are taken to be free where it is unknown."""

CPU_PIXELS = 896 * 896
"""Pixels of a batch on a CPU: one window of the hub's model. Larger batches only take more memory;
of smaller windows, batches up to this spread the cost of each operator in the plain network."""

BYTES_PER_CHANNEL = 5
"""Bytes that a pass takes for each pixel of a window and each channel of the network, at most.

Most of it are maps at a quarter of the window's size with all channels, C / 16 floats for each
pixel: about 17 of them at once in the plain network (counted over the full-size model's live
tensors: 3.2 GiB for one more window of 896 x 896 with C = 1024), taken as 20."""

logger = get_logger()

Owner = TypeVar("Owner")
Network = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Windows `(B, 3, h, w)` to class and mask logits."""


def automatic_batch_size(device: torch.device, settings: ModelSettings) -> Callable[[Size], int]:
    """How many windows of a size go through the network together, at least 1.

    How much memory is free on the network's device is asked once for each size.
    """
    channels = max(settings.backbone.embed_dim, settings.head.feat_channels)

    @cache
    def batch_size(size: Size) -> int:
        pixels = (size[0] + -size[0] % SIZE_DIVISOR) * (size[1] + -size[1] % SIZE_DIVISOR)
        most = CPU_PIXELS // pixels if device.type == "cpu" else MAX_BATCH
        if most <= 1:
            return 1
        free = free_memory(device)
        budget = MEMORY_SHARE * (UNKNOWN_MEMORY if free is None else free)
        return max(1, min(most, MAX_BATCH, int(budget / (pixels * BYTES_PER_CHANNEL * channels))))

    return batch_size


def run_in_batches(
    run: Network, jobs: Iterable[tuple[Owner, Tensor]], batch_size: Callable[[Size], int]
) -> Iterator[tuple[Owner, Tensor, Tensor]]:
    """Runs windows in the order given; those of equal size that follow each other go together.

    A window is taken from `jobs` only when a batch has room for it, and a batch runs when its first
    answer is asked for. Where the device's memory is not enough for a batch, half as many windows
    are tried, then and for all batches that follow.

    Args:
        run: the network.
        jobs: windows `(3, h, w)`, each with what its answer belongs to.
        batch_size: the most windows of a size that may go together, at least 1.

    Yields:
        For each window what it belongs to and its logits.

    Raises:
        torch.OutOfMemoryError: the memory is not enough for a single window.
    """
    limit = sys.maxsize

    def room(size: Size) -> int:
        return min(batch_size(size), limit)

    for batch in _batches(jobs, room):
        while batch:
            answers = _attempt(run, batch[:limit])
            if answers is None:
                limit = max(1, min(len(batch), limit) // 2)
                logger.warning("out of memory: %d window(s) at a time from here on", limit)
                continue
            del batch[: len(answers)]
            while answers:  # each can go as soon as it was used
                yield answers.pop(0)


def _attempt(
    run: Network, batch: list[tuple[Owner, Tensor]]
) -> list[tuple[Owner, Tensor, Tensor]] | None:
    """The answers to a batch, or None where there is too little memory for as many windows."""
    try:
        classes, masks = run(torch.stack([window for _, window in batch]))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        problem = str(error)
    else:
        return [(owner, classes[i], masks[i]) for i, (owner, _) in enumerate(batch)]
    # Not in the handler: the error holds the frames that it went through, and they the tensors.
    window = batch[0][1]
    release_cached_memory(window.device)
    if len(batch) == 1:
        raise out_of_memory(window.shape, window.device, problem)
    return None


def _batches(
    jobs: Iterable[tuple[Owner, Tensor]], room: Callable[[Size], int]
) -> Iterator[list[tuple[Owner, Tensor]]]:
    for (_, height, width), alike in groupby(jobs, key=lambda job: job[1].shape):
        while batch := list(islice(alike, room((height, width)))):
            yield batch
