"""Keeps numerically delicate steps in float32 while the rest runs in autocast."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(x: Tensor) -> AbstractContextManager[None]:
    """A context without autocast on the device of `x`.

    Sampling coordinates and mask embeddings lose whole pixels in bfloat16; they are computed in
    float32 whatever the surrounding autocast says. Devices that know no autocast (`meta`) need
    nothing. A compiler is not asked about that: PyTorch 2.10's can't trace the question.
    """
    kind = x.device.type
    if not torch.compiler.is_compiling() and not torch.amp.is_autocast_available(kind):
        return nullcontext()
    return torch.autocast(kind, enabled=False)
