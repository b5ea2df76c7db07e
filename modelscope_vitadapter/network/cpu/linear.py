"""Linear layers whose weight is reordered for the processor before use."""

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelscope_vitadapter.network.cpu.bands import band_rows

ACTIVATIONS = {"none": None, "relu": F.relu, "gelu": F.gelu}
"""What can follow a linear layer in the same call."""


class PackedLinear:
    """`activation(F.linear(x, weight, bias))` for one pass.

    With oneDNN's reordered weights a band takes 0.8 (two cores of Zen 4) to 0.4 (Zen 5) of the time
    of `F.linear`; reordering takes 1 % of a pass of the full-size model.

    Args:
        weight: `(out, in)` float32.
        bias: `(out,)` or None.
        dtype: what is computed in; float32 or bfloat16.
        activation: a name in `ACTIVATIONS`.
        rows: rows of a typical input; a band by default.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        activation: str = "none",
        rows: int | None = None,
    ) -> None:
        self.dtype = dtype
        self._bias = None if bias is None else bias.to(dtype)
        self._activation = activation
        weight = weight.to(dtype)
        self._packed = None
        if can_pack(dtype):
            self._packed = torch.ops.mkldnn._reorder_linear_weight(
                weight.contiguous(), rows or band_rows(dtype)
            )
        else:
            self._weight = weight

    @classmethod
    def of(
        cls, linear: nn.Linear, *, dtype: torch.dtype = torch.float32, activation: str = "none"
    ) -> "PackedLinear":
        """From a module, which stays as it is."""
        return cls(linear.weight, linear.bias, dtype=dtype, activation=activation)

    def __call__(self, x: Tensor) -> Tensor:
        """Maps `(N, in)` to `(N, out)` of the layer's dtype, freshly allocated."""
        x = x.to(self.dtype)
        if self._packed is not None:
            return run_packed(x, self._packed, self._bias, self._activation)
        y = F.linear(x, self._weight, self._bias)
        activate = ACTIVATIONS[self._activation]
        return y if activate is None else activate(y)


def run_packed(x: Tensor, packed: Tensor, bias: Tensor | None, activation: str) -> Tensor:
    """The linear layer of oneDNN, as PyTorch's own compiler calls it."""
    algorithm = "none" if activation == "gelu" else ""
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, activation, [], algorithm)
    return y


@lru_cache(maxsize=8)
def can_pack(dtype: torch.dtype) -> bool:
    """Whether this PyTorch has the operators behind `PackedLinear` and they give what they should.

    They are not part of PyTorch's public interface, so one small product is tried.
    """
    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        x = torch.linspace(-1, 1, 48, dtype=torch.float32, device="cpu").view(3, 16)
        weight = x.to(dtype)
        try:
            packed = torch.ops.mkldnn._reorder_linear_weight(weight, 3)
            found = run_packed(weight, packed, weight[:, 0].contiguous(), "gelu")
        except (AttributeError, RuntimeError, NotImplementedError, TypeError):
            return False
        expected = F.gelu(F.linear(x, x, x[:, 0]))
        return found.shape == expected.shape and torch.allclose(
            found.float(), expected, rtol=5e-2, atol=5e-2
        )
