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
        return _SumOverProcesses.forward(ctx, gradient)


def _sum(x: Tensor) -> Tensor:
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
        count = _sum(exact.new_tensor([x.numel() / x.shape[1]]))
        mean = _sum(exact.sum(axes)) / count
        centred = exact - mean[:, None, None]
        variance = _sum(centred.square().sum(axes)) / count
        self._keep_track(mean.detach(), (variance * (count / (count - 1).clamp(min=1))).detach())
        normed = centred * torch.rsqrt(variance + self.eps)[:, None, None]
        if self.affine:
            normed = normed * self.weight[:, None, None] + self.bias[:, None, None]
        return normed.to(x.dtype)

    @torch.no_grad()
    def _keep_track(self, mean: Tensor, variance: Tensor) -> None:
        """Moves the running statistics, as `torch.nn.BatchNorm2d` does."""
        assert self.running_mean is not None  # the three of them come with track_running_stats
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        rate = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), rate)
        self.running_var.lerp_(variance.to(self.running_var), rate)


def share_batch_norms(network: nn.Module) -> None:
    """Lets the batch norms inside a network, in place, see all processes' batches.

    Parameters and buffers stay the same tensors under the same names. On a GPU PyTorch's own
    `SyncBatchNorm` is used.
    """
    if next(network.parameters()).is_cuda:
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm2d  # which has nothing that the plain norm lacks
