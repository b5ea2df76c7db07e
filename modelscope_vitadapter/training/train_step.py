"""One step of training, from a batch to the optimiser, in one process or several."""

import inspect
import math
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LambdaLR

from modelscope_vitadapter.config.criterion import CriterionSettings
from modelscope_vitadapter.distributed import gathered, is_joined, process_count, summed
from modelscope_vitadapter.errors import NotFiniteLossError
from modelscope_vitadapter.network.seeded_dropout import set_sample_seeds
from modelscope_vitadapter.network.segmentor import EncoderDecoderMask2Former
from modelscope_vitadapter.training.criterion import Mask2FormerCriterion, targets_of
from modelscope_vitadapter.training.loader import Batch
from modelscope_vitadapter.training.losses import SeededPoints
from modelscope_vitadapter.training.optimizer import (
    arrange_network,
    parameter_groups,
    rate_factor,
    train_unfrozen,
)
from modelscope_vitadapter.training.train_config import TrainConfig

BUFFERS_OPTION = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in inspect.signature(DistributedDataParallel).parameters
)
"""What PyTorch calls it that buffers are made equal before a step; it warns of the older name."""


class TrainingNetwork(nn.Module):
    """A network with its criterion; `dtype` is what autocast computes products in."""

    def __init__(
        self,
        network: EncoderDecoderMask2Former,
        criterion: Mask2FormerCriterion,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.network = network
        self.criterion = criterion
        self.dtype = dtype

    def forward(self, images: Tensor, classes: Tensor, seeds: Sequence[int]) -> dict[str, Tensor]:
        """The losses of a batch's fields, see `loader.Batch` and `Mask2FormerCriterion.forward`.

        `images` are on the network's device. What is dropped and where masks are compared follows
        from the seeds.
        """
        set_sample_seeds(self.network, seeds)
        device, reduced = images.device, self.dtype is not torch.float32
        with torch.autocast(device.type, self.dtype if reduced else None, enabled=reduced):
            predictions = list(self.network.predictions(images))
        points = SeededPoints(seeds, device)
        losses: dict[str, Tensor] = self.criterion(predictions, targets_of(classes, device), points)
        return losses


class TrainStep:
    """Computes the gradients of a batch, part by part, and lets the optimiser take its step.

    Attributes:
        optimizer: of the parameters that are not frozen.
        schedule: of its rates, to be stepped after every step.
        scaler: enlarges the loss where gradients are float16; does nothing in other types.

    Args:
        network: on its device; of several processes the first one's weights are taken.
        criterion: weights and points of the loss.
        config: of the run, which has `max_iters` steps.
        freeze: one of `train_config.FREEZE_CHOICES`.
    """

    def __init__(
        self,
        network: EncoderDecoderMask2Former,
        criterion: CriterionSettings,
        config: TrainConfig,
        *,
        max_iters: int,
        freeze: str = "nothing",
    ) -> None:
        arrange_network(network, config, freeze=freeze)
        groups = parameter_groups(network, len(network.backbone.blocks), config)
        # fused: 94 ms in place of 518 for 126 million weights, 2 cores of an Intel Xeon, 2026-11-26
        self.optimizer = torch.optim.AdamW(groups, betas=config.betas, fused=True)
        rates = partial(rate_factor, config=config, max_iters=max_iters)
        self.schedule = LambdaLR(self.optimizer, rates)
        self.network, self.freeze, self.parts = network, freeze, config.accumulation
        self.limit = math.inf if config.clip_norm is None else config.clip_norm
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.device = self.parameters[0].device
        dtype = getattr(torch, config.dtype)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=dtype is torch.float16)
        compared = Mask2FormerCriterion(criterion).to(self.device)
        self.losses_of: nn.Module = TrainingNetwork(network, compared, dtype)
        if process_count() > 1:
            if config.sync_batch_norm:
                share_batch_norms(network)
            for parameter in self.parameters:
                if 1 in parameter.shape:
                    parameter.register_hook(_with_plain_strides)  # type: ignore[no-untyped-call]
            # Shared norms have the same buffers anyway.
            syncs_buffers: dict[str, Any] = {BUFFERS_OPTION: not config.sync_batch_norm}
            self.losses_of = DistributedDataParallel(
                self.losses_of,
                device_ids=[self.device] if self.device.type == "cuda" else None,
                **syncs_buffers,
            )

    def __call__(self, batch: Batch) -> dict[str, float]:
        """Takes a step with this process's samples; every process must call it.

        Returns:
            The losses as means over parts and processes, and `grad_norm`, that of the gradients
            before they are clipped.

        Raises:
            NotFiniteLossError: a loss is NaN or infinite, or the gradients are in another type than
                float16, which leaves such a step out; the message names the images. Weights are as
                they were.
        """
        train_unfrozen(self.network, self.freeze)
        losses = self._add_gradients(batch)
        self.scaler.unscale_(self.optimizer)
        norm = float(nn.utils.clip_grad_norm_(self.parameters, self.limit))
        if not math.isfinite(norm) and not self.scaler.is_enabled():
            raise _not_finite("the gradients' norm", norm, batch.names)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return {**losses, "grad_norm": norm}

    def _add_gradients(self, batch: Batch) -> dict[str, float]:
        """Adds the gradients of the batch's mean loss to the parameters; gives the losses."""
        size = len(batch.seeds) // self.parts
        totals: dict[str, float] = {}
        for part in range(self.parts):
            rows = slice(part * size, (part + 1) * size)
            waits = process_count() > 1 and part < self.parts - 1
            with self.losses_of.no_sync() if waits else nullcontext():  # type: ignore[operator]
                images = batch.images[rows].to(self.device, non_blocking=True)
                losses = self.losses_of(images, batch.classes[rows], batch.seeds[rows])
                values = _finite_means(losses, batch.names[rows])
                self.scaler.scale(losses["loss"] / self.parts).backward()
            for name, value in values.items():
                totals[name] = totals.get(name, 0.0) + value / self.parts
        return totals


def _with_plain_strides(gradient: Tensor) -> Tensor:
    """The same gradient; axes of length 1, as in depthwise kernels, have the strides of the kernel.

    PyTorch (2.13) warns of others, though nothing lies elsewhere.
    """
    return gradient.view(gradient.shape)


def _finite_means(losses: dict[str, Tensor], names: list[str]) -> dict[str, float]:
    """Means over processes, brought to the host at once; raises in all where one isn't finite."""
    local = torch.stack([loss.detach().float() for loss in losses.values()])
    means = (summed(local) / process_count()).tolist()
    values = dict(zip(losses, means, strict=True))
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        own = [] if bool(local.isfinite().all()) else names
        raise _not_finite(f"the loss ({', '.join(bad)})", values["loss"], own)
    return values


def _not_finite(what: str, value: float, names: list[str]) -> NotFiniteLossError:
    """The error of a step that can't be taken, with the names of all processes' images."""
    images = ", ".join(name for part in gathered(names) for name in part)
    return NotFiniteLossError(
        f"{what} became {value} with the images {images}. Training stopped before this step was "
        "taken; the last checkpoint is as it was. Look at these images and label maps, lower the "
        "learning rate, or train in float32 or bfloat16 in place of float16."
    )


class _Sum(torch.autograd.Function):
    """Sum over the processes, whose gradient is the sum of the processes' gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Sum.forward(ctx, gradient)


def _sum(x: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(x)  # type: ignore[no-untyped-call]
    return total


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Normalises by mean and variance of the joined batch of all processes while training.

    `torch.nn.SyncBatchNorm` does this on a GPU and refuses everything else.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(B, C, H, W)` to the same shape; every process must call it."""
        if not is_joined() or not self.training:
            return super().forward(x)
        exact, axes = x.float(), (0, 2, 3)
        count = _sum(exact.new_tensor([x.numel() / x.shape[1]]))
        mean = _sum(exact.sum(axes)) / count
        centred = exact - mean[:, None, None]
        variance = _sum(centred.square().sum(axes)) / count
        self._keep_track(mean, variance * count / (count - 1).clamp(min=1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        normed: Tensor = centred * scale[:, None, None] + self.bias[:, None, None]
        return normed.to(x.dtype)

    @torch.no_grad()
    def _keep_track(self, mean: Tensor, variance: Tensor) -> None:
        """Moves the running statistics, as `torch.nn.BatchNorm2d` does."""
        assert self.momentum is not None  # None, a mean over all batches, is nowhere set
        for name, batch in (("running_mean", mean), ("running_var", variance)):
            running = self.get_buffer(name)
            running.lerp_(batch.to(running), self.momentum)
        self.get_buffer("num_batches_tracked").add_(1)


def share_batch_norms(network: nn.Module) -> None:
    """Lets a network's batch norms see all processes' batches; tensors and names stay the same."""
    if next(network.parameters()).is_cuda:
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm2d  # which has nothing that the plain norm lacks
