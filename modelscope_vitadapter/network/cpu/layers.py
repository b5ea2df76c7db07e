"""Transformer layers of the head, band by band."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from modelscope_vitadapter.network.cpu.linear import PackedLinear
from modelscope_vitadapter.network.cpu.modules import modules_of
from modelscope_vitadapter.network.transformer_layer import (
    FeedForward,
    TransformerLayer,
    run_in_order,
)


class BandFeedForward:
    """A feed-forward network with packed weights; the plain version is `FeedForward.forward`."""

    def __init__(self, ffn: FeedForward, dtype: torch.dtype) -> None:
        self._add_identity = ffn.add_identity
        self._steps: list[Callable[[Tensor], Tensor]] = []
        for layer in ffn.layers:
            if isinstance(layer, nn.Sequential):  # linear, activation, dropout
                (linear,) = modules_of([layer[0]], nn.Linear)
                activation = layer[1]
                fused = isinstance(activation, nn.ReLU)
                name = "relu" if fused else "none"
                self._steps.append(PackedLinear.of(linear, dtype=dtype, activation=name))
                if not fused:  # in float32: a PReLU has a weight
                    self._steps += [Tensor.float, activation]
            elif isinstance(layer, nn.Linear):
                self._steps.append(PackedLinear.of(layer, dtype=dtype))

    def __call__(self, x: Tensor, identity: Tensor) -> Tensor:
        """Maps `(n, C)` to the same shape, float32."""
        for step in self._steps:
            x = step(x)
        x = x.float()
        return x.add_(identity) if self._add_identity else x


class BandLayer:
    """A transformer layer for bands; the plain version is `TransformerLayer.forward`.

    Args:
        layer: the module.
        dtype: what the feed-forward networks' products are computed in.
    """

    def __init__(self, layer: TransformerLayer, dtype: torch.dtype) -> None:
        self._order, self._pre_norm = layer.operation_order, layer.pre_norm
        self._norms = list(layer.norms)
        self._ffns = [BandFeedForward(ffn, dtype) for ffn in modules_of(layer.ffns, FeedForward)]

    def __call__(self, query: Tensor, attend: Callable[[Tensor], Tensor]) -> Tensor:
        """Runs the layer over a band.

        Args:
            query: `(n, C)` float32.
            attend: what the layer's only attention does with the current query.

        Returns:
            `(n, C)`.
        """
        return run_in_order(
            self._order, query, [attend], self._ffns, self._norms, pre_norm=self._pre_norm
        )
