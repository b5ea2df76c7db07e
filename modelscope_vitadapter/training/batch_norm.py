"""Batch norm over the batches of all processes, on any device.

`torch.nn.SyncBatchNorm` does this on a GPU and refuses everything else.
"""

from typing import Any

import torch
from torch import Tensor, distributed, nn

from modelscope_vitadapter.distributed import is_joined


class _SumOverProcesses(torch.autograd.Function):
    """All-reduce whose gradient is the sum of the processes' gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


def sum_over_processes(x: Tensor) -> Tensor:
    """The sum of a tensor over all processes; differentiable."""
    total: Tensor = _SumOverProcesses.apply(x)  # type: ignore[no-untyped-call]
    return total


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Normalises by mean and variance of the joined batch of all processes while training."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(B, C, H, W)` to the same shape; every process must call it."""
        if not is_joined() or not self.training or not self.track_running_stats:
            return super().forward(x)
        axes = (0, 2, 3)
        exact = x.float()
        count = sum_over_processes(exact.new_tensor([x.numel() / x.shape[1]]))
        mean = sum_over_processes(exact.sum(axes)) / count
        centred = exact - mean[:, None, None]
        variance = sum_over_processes(centred.square().sum(axes)) / count
        self._keep_track(mean.detach(), (variance * (count / (count - 1).clamp(min=1))).detach())
        normed = centred * torch.rsqrt(variance + self.eps)[:, None, None]
        if self.affine:
            normed = normed * self.weight[:, None, None] + self.bias[:, None, None]
        return normed.to(x.dtype)

    @torch.no_grad()
    def _keep_track(self, mean: Tensor, variance: Tensor) -> None:
        """Moves the running statistics, as `torch.nn.BatchNorm2d` does."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None  # it comes with the other two
        self.num_batches_tracked += 1
        rate = self.momentum
        if rate is None:
            rate = 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean), rate)
        self.running_var.lerp_(variance.to(self.running_var), rate)


def share_batch_norms(network: nn.Module) -> None:
    """Replaces the batch norms of a network, in place, by ones that see all processes' batches.

    Parameters and buffers stay the same tensors under the same names. On a GPU PyTorch's own
    `SyncBatchNorm` is used.
    """
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.BatchNorm2d:
                setattr(parent, name, _shared(child))


def _shared(norm: nn.BatchNorm2d) -> nn.Module:
    if norm.running_mean is not None and norm.running_mean.is_cuda:
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(  # type: ignore[no-untyped-call]
            norm
        )
        return converted
    shared = SharedBatchNorm2d(
        norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
    )
    shared._parameters, shared._buffers = norm._parameters, norm._buffers
    shared.training = norm.training
    return shared
