"""The learning rate of each step: a linear warm-up times a polynomial decay."""

from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def rate_factor(
    step: int, *, max_iters: int, warmup_iters: int, warmup_ratio: float, power: float
) -> float:
    """The rate of a step, as a share of the highest.

    As mmcv's `poly` policy with linear warm-up: the warm-up multiplies the decayed rate.

    Args:
        step: counted from 0.
        max_iters: steps in all; at this one the rate would be 0.
        warmup_iters: steps in which the rate rises; 0 for none.
        warmup_ratio: of the rate at step 0.
        power: of the decay.
    """
    decayed: float = max(1.0 - step / max_iters, 0.0) ** power
    if step >= warmup_iters:
        return decayed
    return decayed * (1.0 - (1.0 - step / warmup_iters) * (1.0 - warmup_ratio))


def build_schedule(
    optimizer: Optimizer, *, max_iters: int, warmup_iters: int, warmup_ratio: float, power: float
) -> LambdaLR:
    """A scheduler that is stepped after every optimiser step; arguments as `rate_factor`."""
    return LambdaLR(
        optimizer,
        partial(
            rate_factor,
            max_iters=max_iters,
            warmup_iters=min(warmup_iters, max_iters),
            warmup_ratio=warmup_ratio,
            power=power,
        ),
    )
