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

    They are not part of PyTorch's public interface, so they are tried on a small product first.
    """
    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        x = torch.linspace(-1, 1, 48, dtype=torch.float32, device="cpu").view(3, 16).to(dtype)
        # results between -5 and 5, where the activations differ
        weight = torch.linspace(-0.5, 0.25, 80, dtype=torch.float32, device="cpu")
        weight = weight.view(5, 16).to(dtype)
        bias = torch.linspace(0, 1, 5, dtype=torch.float32, device="cpu").to(dtype)
        try:
            packed = torch.ops.mkldnn._reorder_linear_weight(weight, 3)
            results = {name: run_packed(x, packed, bias, name) for name in ACTIVATIONS}
        except (AttributeError, RuntimeError, NotImplementedError, TypeError):
            return False
        expected = F.linear(x.float(), weight.float(), bias.float())
        tolerance = 1e-4 if dtype is torch.float32 else 5e-2
        return all(
            results[name].shape == expected.shape
            and torch.allclose(
                results[name].float(),
                expected if activate is None else activate(expected),
                rtol=tolerance,
                atol=tolerance,
            )
            for name, activate in ACTIVATIONS.items()
        )
