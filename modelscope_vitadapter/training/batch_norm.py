"""Batch norm over the batches of all processes, on any device.

`torch.nn.SyncBatchNorm` does this on a GPU and refuses everything else.
"""

from typing import Any

import torch
from torch import Tensor, distributed, nn

from modelscope_vitadapter.distributed import is_joined


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


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Normalises by mean and variance of the joined batch of all processes while training."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(B, C, H, W)` to the same shape; every process must call it."""
        if not is_joined() or not self.training:
            return super().forward(x)
        exact, axes, joined = x.float(), (0, 2, 3), _Sum.apply
        count = joined(exact.new_tensor([x.numel() / x.shape[1]]))
        mean = joined(exact.sum(axes)) / count
        centred = exact - mean[:, None, None]
        variance = joined(centred.square().sum(axes)) / count
        self._keep_track(mean, variance * count / (count - 1).clamp(min=1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        normed: Tensor = centred * scale[:, None, None] + self.bias[:, None, None]
        return normed.to(x.dtype)

    @torch.no_grad()
    def _keep_track(self, mean: Tensor, variance: Tensor) -> None:
        """Moves the running statistics, as `torch.nn.BatchNorm2d` does."""
        for name, batch in (("running_mean", mean), ("running_var", variance)):
            running = self.get_buffer(name)
            running.lerp_(batch.to(running), self.momentum)
        self.get_buffer("num_batches_tracked").add_(1)


def share_batch_norms(network: nn.Module) -> None:
    """Lets the batch norms inside a network, in place, see all processes' batches.

    Parameters and buffers stay the same tensors under the same names.
    """
    if next(network.parameters()).is_cuda:
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm2d  # which has nothing that the plain norm lacks
