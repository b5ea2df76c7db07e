"""Whether a tensor holds NaN or infinity, at about the cost of reading it once."""

from __future__ import annotations

import torch


def all_finite(tensor: torch.Tensor) -> bool:
    """Whether all elements are finite numbers; integers always are.

    Args:
        tensor: any shape and type, on the CPU.
    """
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    # One NaN or infinity makes the sum of squares one. Finite numbers can do so as well, and then
    # (or in types that BLAS doesn't know) each element is looked at.
    flat = tensor.detach().reshape(-1)
    if flat.dtype == torch.float32 and bool(torch.isfinite(torch.dot(flat, flat))):
        return True
    return bool(torch.isfinite(flat).all())
