"""The gradients of one step, part by part."""

import math
from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from modelscope_vitadapter.distributed import gathered, process_count, summed
from modelscope_vitadapter.errors import NotFiniteLossError
from modelscope_vitadapter.training.samples import Batch
from modelscope_vitadapter.training.training_network import TrainingNetwork


def compute_gradients(
    network: TrainingNetwork | DistributedDataParallel,
    batch: Batch,
    device: torch.device,
    *,
    parts: int,
    scaler: torch.amp.GradScaler,
) -> dict[str, float]:
    """Adds the gradients of a batch's mean loss to the parameters.

    Args:
        network: in training mode; every process must call it.
        batch: this process's samples, a multiple of `parts`.
        device: of the network.
        parts: how many forward and backward passes share the batch.
        scaler: enlarges the loss where gradients are float16.

    Returns:
        The losses, `loss` and its parts, as means over parts and processes.

    Raises:
        NotFiniteLossError: a loss is NaN or infinite; the message names the pictures. Gradients
            are then worthless, parameters untouched.
    """
    size = len(batch.seeds) // parts
    totals: dict[str, float] = {}
    for part in range(parts):
        rows = slice(part * size, (part + 1) * size)
        last = part == parts - 1
        shares = isinstance(network, DistributedDataParallel) and not last
        with network.no_sync() if shares else nullcontext():  # type: ignore[operator]
            images = batch.images[rows].to(device, non_blocking=True)
            losses = network(images, batch.classes[rows], batch.seeds[rows])
            values = _means(losses)
            _check_finite(values, losses, batch.names[rows])
            scaler.scale(losses["loss"] / parts).backward()
        for name, value in values.items():
            totals[name] = totals.get(name, 0.0) + value / parts
    return totals


def _means(losses: dict[str, Tensor]) -> dict[str, float]:
    """Means over processes, brought to the host at once."""
    stacked = torch.stack([loss.detach().float() for loss in losses.values()])
    means = (summed(stacked) / process_count()).tolist()
    return dict(zip(losses, means, strict=True))


def _check_finite(values: dict[str, float], losses: dict[str, Tensor], names: list[str]) -> None:
    """Raises in all processes where the loss of any is not finite."""
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if not bad:
        return
    own = [] if all(bool(loss.isfinite()) for loss in losses.values()) else names
    raise not_finite(f"the loss ({', '.join(bad)})", values["loss"], gathered(own))


def not_finite(what: str, value: float, names: list[list[str]]) -> NotFiniteLossError:
    """The error to raise for a step that can't be taken.

    Args:
        what: what is not finite.
        value: what it became.
        names: of the pictures, by process.
    """
    pictures = ", ".join(name for part in names for name in part)
    return NotFiniteLossError(
        f"{what} became {value} with the pictures {pictures}. Training stopped before this step "
        "was taken; the last checkpoint is as it was. Look at these pictures and label maps, lower "
        "the learning rate, or train in float32 or bfloat16 in place of float16."
    )
