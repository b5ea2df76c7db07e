"""The numbers of a training run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Recipe:
    """How a model is trained; the defaults are the paper's for COCO-Stuff-164k.

    Source: ViT-Adapter (arXiv 2205.08534) and its authors' published configuration for BEiT-L with
    Mask2Former, crops of 896 pixels and 80,000 steps; the clipping is Mask2Former's.

    Attributes:
        max_iters: optimiser steps, unless `max_epochs` is given.
        max_epochs: passes over the data set, in place of `max_iters`.
        batch_size: pictures in a step, of all processes together.
        accumulation: parts that a process's share of a batch is computed in, one after the other.
        learning_rate: AdamW's, of the last layers, at its highest.
        weight_decay: AdamW's, on matrices and kernels; vectors have none.
        betas: AdamW's.
        layer_decay: ratio of the rates of neighbouring BEiT blocks.
        decay_predictors: give the head's queries and predictors the rate of the first block, as the
            authors' code does; otherwise that of the last layers, which classes that are new need.
        warmup_iters: steps in which the rate rises linearly.
        warmup_ratio: of the rate, where the rise begins.
        power: exponent of the polynomial along which the rate falls to 0.
        clip_norm: the gradients' joint norm is clipped to this; None clips nothing.
        drop_path: rate of stochastic depth; None keeps the configuration's.
        checkpoint_activations: compute activations again in the backward pass in place of holding
            them; None keeps the configuration's choice (`with_cp`).
        dtype: what products are computed in (autocast); weights and losses are float32.
        sync_batch_norm: batch norms see the batch of all processes.
        ratio_range: pictures are resized by a random factor from this range.
        cat_max_ratio: a crop in which one class covers more than this share is drawn again.
        flip: chance of a picture to be flipped horizontally.
        photometric: distort brightness, contrast, saturation and hue.
        seed: of everything random.
    """

    max_iters: int = 80_000
    max_epochs: int | None = None
    batch_size: int = 16
    accumulation: int = 1
    learning_rate: float = 2e-5
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.999)
    layer_decay: float = 0.9
    decay_predictors: bool = False
    warmup_iters: int = 1500
    warmup_ratio: float = 1e-6
    power: float = 1.0
    clip_norm: float | None = 0.01
    drop_path: float | None = None
    checkpoint_activations: bool | None = None
    dtype: str = "float32"
    sync_batch_norm: bool = True
    ratio_range: tuple[float, float] = (0.5, 2.0)
    cat_max_ratio: float = 0.75
    flip: float = 0.5
    photometric: bool = True
    seed: int = 42

    def __post_init__(self) -> None:
        for name in ("max_iters", "batch_size", "accumulation"):
            _require(name, getattr(self, name), "a whole number from 1 up", _is_count)
        if self.max_epochs is not None:
            _require("max_epochs", self.max_epochs, "a whole number from 1 up", _is_count)
        for name in ("learning_rate", "layer_decay", "power"):
            _require(name, getattr(self, name), "a number above 0", lambda value: value > 0)
        for name in ("weight_decay", "warmup_iters"):
            _require(name, getattr(self, name), "a number from 0 up", lambda value: value >= 0)
        for name in ("warmup_ratio", "cat_max_ratio", "flip"):
            _require(name, getattr(self, name), "a number from 0 to 1", lambda v: 0 <= v <= 1)
        _require(
            "ratio_range",
            self.ratio_range,
            "two factors, 0 < low <= high",
            lambda pair: 0 < pair[0] <= pair[1] and len(pair) == 2,
        )
        _require("dtype", self.dtype, f"one of {', '.join(DTYPES)}", lambda v: v in DTYPES)

    def changed(self, options: Mapping[str, object]) -> "Recipe":
        """The recipe with other values.

        Raises:
            ValueError: for a name that no field has, or a value that its field can't have.
        """
        known = {field.name for field in fields(self)}
        unknown = sorted(set(options) - known)
        if unknown:
            raise ValueError(
                f"the recipe has no option {unknown[0]!r}; it has {', '.join(sorted(known))}"
            )
        values = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in options.items()
        }
        return replace(self, **values)  # type: ignore[arg-type]  # checked when it is made


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _require(name: str, value: object, expected: str, holds: Callable[[Any], bool]) -> None:
    try:
        fine = bool(holds(value))
    except (TypeError, IndexError):
        fine = False
    if not fine:
        raise ValueError(f"{name} is {value!r}: expected {expected}")
