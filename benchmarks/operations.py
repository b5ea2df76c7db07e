"""Counts the floating-point operations of one window on the plain path, by kind and shape.

The network is built on the meta device, where nothing is computed: counting the full-size model
takes a second and no memory. There, the network takes its plain path, whose every matrix product
and convolution PyTorch's counter sees. What it doesn't count (norms, activations, softmax,
`grid_sample`, resizing) counts nothing here; neither do the class scores that are made of the
logits afterwards.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import mock

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from modelscope_vitadapter.config.model_config import parse_model
from modelscope_vitadapter.network.build import build_network

LINEAR, CONVOLUTION, ATTENTION = "linear", "convolution", "attention product"
KINDS = (LINEAR, CONVOLUTION, ATTENTION)

aten = torch.ops.aten
Shape = tuple[int, ...]

Counts = dict[str, Counter[Shape]]
"""Operations (a multiplication and an addition are two) by kind and by the shape of the work.

Shapes of `linear` are `(rows, inputs, outputs)`; of `convolution` `(channels in, height, width,
channels out, kernel, stride, groups)`, transposed ones with a negative stride; of `attention
product` `(heads, queries, keys, width)`.
"""


class _Recorder:
    """Counts by kind what PyTorch's formulas say."""

    def __init__(self) -> None:
        self.counts: Counts = {kind: Counter() for kind in KINDS}
        self._attention: Shape | None = None

    def mapping(self) -> dict[Any, Callable[..., int]]:
        """The counter's formulas, each with a note of what it said."""
        return {operator: self._noting(operator) for operator in flop_registry}

    def _noting(self, operator: Any) -> Callable[..., int]:
        def formula(*args: Any, out_val: Any = None, **kwargs: Any) -> int:
            operations = int(flop_registry[operator](*args, **kwargs, out_val=out_val))
            kind, shape = self._kind_and_shape(operator, args)
            self.counts[kind][shape] += operations
            return operations

        formula._get_raw = True  # type: ignore[attr-defined]  # asks for tensors, not shapes
        return formula

    def _kind_and_shape(self, operator: Any, args: tuple[Any, ...]) -> tuple[str, Shape]:
        if self._attention is not None:
            return ATTENTION, self._attention
        if operator is aten.convolution:
            image, kernel, _, stride, _, _, transposed, _, groups = args[:9]
            out = kernel.shape[1] if transposed else kernel.shape[0]
            step = -stride[0] if transposed else stride[0]
            return CONVOLUTION, (*image.shape[1:], out, kernel.shape[-1], step, groups)
        first, second = args[1:3] if operator is aten.addmm else args[:2]
        if operator not in (aten.addmm, aten.mm, aten.bmm):
            raise NotImplementedError(f"{operator} is of no kind that is known here")
        return LINEAR, (int(first.shape[:-1].numel()), first.shape[-1], second.shape[-1])

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """While this is entered, products within an attention count as such."""
        plain = F.scaled_dot_product_attention

        def attention(q: torch.Tensor, k: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            heads = int(q.shape[:-2].numel())
            self._attention = (heads, q.shape[-2], k.shape[-2], q.shape[-1])
            try:
                return plain(q, k, *args, **kwargs)
            finally:
                self._attention = None

        with mock.patch.object(F, "scaled_dot_product_attention", attention):
            yield


def count_operations(config: Mapping[str, Any], window: tuple[int, int]) -> Counts:
    """Counts one window.

    Args:
        config: what `mmcv_config.py` defines.
        window: `(height, width)` in pixels.

    Returns:
        Operations by kind and shape.
    """
    with torch.device("meta"):
        network = build_network(parse_model(config)).eval().requires_grad_(False)
    recorder = _Recorder()
    # The counter follows modules by autograd hooks, which inference mode breaks; autocast, which
    # the network turns off here and there, knows no meta device.
    no_autocast = mock.patch.object(
        torch, "autocast", lambda *args, **kwargs: contextlib.nullcontext()
    )
    counter = FlopCounterMode(display=False, custom_mapping=recorder.mapping())
    with torch.no_grad(), no_autocast, recorder.installed(), counter:
        network(torch.empty(1, 3, *window, device="meta"))
    total = sum(sum(shapes.values()) for shapes in recorder.counts.values())
    if total != counter.get_total_flops():
        raise AssertionError(f"{total} operations by kind, {counter.get_total_flops()} counted")
    return recorder.counts
