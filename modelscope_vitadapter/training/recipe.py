"""The numbers of a training run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

PAPER_WARMUP = 1500

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
        warmup_iters: steps in which the rate rises linearly; None for the paper's 1500, but no more
            than a tenth of the run.
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
    warmup_iters: int | None = None
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
        _require("weight_decay", self.weight_decay, "a number from 0 up", lambda value: value >= 0)
        _require("seed", self.seed, "a whole number from 0 up", lambda v: _is_count(v + 1))
        _require("betas", self.betas, "two numbers from 0 to 1, 1 excluded", _are_betas)
        optional: list[tuple[str, str, Callable[[Any], bool]]] = [
            ("warmup_iters", "a whole number from 0 up, or None", lambda v: _is_count(v + 1)),
            ("clip_norm", "a number above 0, or None to clip nothing", lambda v: v > 0),
            ("drop_path", "a rate from 0 to 1, 1 excluded, or None", lambda v: 0 <= v < 1),
        ]
        for name, expected, holds in optional:
            if getattr(self, name) is not None:
                _require(name, getattr(self, name), expected, holds)
        for name in ("warmup_ratio", "cat_max_ratio", "flip"):
            _require(name, getattr(self, name), "a number from 0 to 1", lambda v: 0 <= v <= 1)
        _require(
            "ratio_range",
            self.ratio_range,
            "two factors, 0 < low <= high",
            lambda pair: 0 < pair[0] <= pair[1] and len(pair) == 2,
        )
        _require("dtype", self.dtype, f"one of {', '.join(DTYPES)}", lambda v: v in DTYPES)

    def warmup(self, max_iters: int) -> int:
        """Steps of the warm-up in a run of `max_iters` steps."""
        if self.warmup_iters is not None:
            return self.warmup_iters
        return min(PAPER_WARMUP, max_iters // 10)

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


def _are_betas(value: tuple[float, float]) -> bool:
    return len(value) == 2 and all(0 <= beta < 1 for beta in value)


def _require(name: str, value: object, expected: str, holds: Callable[[Any], bool]) -> None:
    try:
        fine = bool(holds(value))
    except (TypeError, IndexError):
        fine = False
    if not fine:
        raise ValueError(f"{name} is {value!r}: expected {expected}")
