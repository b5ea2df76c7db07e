"""What a training run is asked for, and the checkpoints in its directory.

Imports nothing heavy, so that mistakes are told at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from modelscope_vitadapter.errors import CheckpointNotFoundError, TrainingError
from modelscope_vitadapter.hints import option
from modelscope_vitadapter.validation import DTYPE_NAMES, listing

PAPER_WARMUP, EVALUATIONS = 1500, 10
"""Steps of the paper's warm-up, and how often a run evaluates and saves, where nothing is said."""

DTYPES = tuple(dict.fromkeys(DTYPE_NAMES.values()))

FREEZE_CHOICES: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "beit": ("backbone.cls_token.", "backbone.patch_embed.", "backbone.blocks."),
    "backbone": ("backbone.",),
}
"""What may stay as it is (the ViT's own parameters; ViT and adapter), and how its names begin."""

CROP_DIVISOR = 32
"""Pixels of a cell of the coarsest feature map, of which a crop has whole ones."""

WEIGHTS_SUFFIX, STATE_SUFFIX = ".pth", "_trainer_state.pth"
"""Of a checkpoint's files: its weights, and what else is needed to go on."""

PERIODIC, BEST = re.compile(r"iter_(\d+)"), re.compile(r"best_iter(\d+)_.+")
"""Names of checkpoints, with the number of steps that had been taken."""

Rule = tuple[str, Callable[[Any], bool]]
"""What a value is to be, in words, and whether one is it."""


def check(name: str, value: object, rule: Rule) -> None:
    """Raises ValueError where a value breaks a rule."""
    expected, holds = rule
    with suppress(TypeError):  # of another type altogether
        if holds(value):
            return
    raise ValueError(f"{name} is {value!r}: expected {expected}")


COUNT: Rule = ("a whole number from 1 up", lambda v: type(v) is int and v >= 1)
COUNT_OR_0: Rule = ("a whole number from 0 up", lambda v: type(v) is int and v >= 0)
ABOVE_0: Rule = ("a number above 0", lambda v: v > 0)
ABOVE_0_OR_NONE: Rule = ("a number above 0, or None", lambda v: v is None or v > 0)
FROM_0: Rule = ("a number from 0 up", lambda v: v >= 0)
SHARE: Rule = ("a number from 0 to 1", lambda v: 0 <= v <= 1)
BELOW_1: Rule = ("a number from 0 to 1, 1 excluded", lambda v: 0 <= v < 1)
BETAS: Rule = (
    "two numbers from 0 to 1, 1 excluded",
    lambda v: len(v) == 2 and 0 <= min(v) <= max(v) < 1,
)
FACTORS: Rule = ("two factors, 0 < low <= high", lambda v: len(v) == 2 and 0 < v[0] <= v[1])
DTYPE: Rule = (f"one of {', '.join(DTYPES)}", lambda v: v in DTYPES)
FREEZE: Rule = (f"one of {', '.join(FREEZE_CHOICES)}", lambda v: v in FREEZE_CHOICES)
CROP: Rule = (
    f"a multiple of {CROP_DIVISOR} pixels, such as 512",
    lambda v: type(v) is int and v > 0 and v % CROP_DIVISOR == 0,
)
SWITCH: Rule = ("True or False", lambda v: isinstance(v, bool))

FIXED, FREE, RUN = "fixed", "free", "run"
"""Kinds of fields: of `recipe`, which stay, or may be others, when a run goes on; and of `run`."""


def _option(default: Any, rule: Rule, meaning: str, kind: str = FIXED) -> Any:
    """A field, and what `vitadapter train --help` says of it; it may be None if its default is."""
    return field(default=default, metadata={"rule": rule, "meaning": meaning, "kind": kind})


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained; the defaults are the paper's for COCO-Stuff-164k.

    Source: ViT-Adapter (arXiv 2205.08534) and its authors' published configuration for BEiT-L with
    Mask2Former, crops of 896 pixels and 80,000 steps; the clipping is Mask2Former's.

    Raises:
        ValueError: a value is not what its field takes; the message names both.
    """

    max_iters: int = _option(80_000, COUNT, "steps", FREE)
    max_epochs: int | None = _option(None, COUNT, "epochs, in place of steps", FREE)
    batch_size: int = _option(16, COUNT, "images in a step, of all processes together")
    accumulation: int = _option(1, COUNT, "parts of a step, each normalised by itself", FREE)
    learning_rate: float = _option(2e-5, ABOVE_0, "highest rate, of adapter and head")
    weight_decay: float = _option(0.05, FROM_0, "of matrices and kernels")
    betas: tuple[float, float] = _option((0.9, 0.999), BETAS, "of AdamW")
    layer_decay: float = _option(0.9, ABOVE_0, "ratio of the rates of neighbouring BEiT blocks")
    # True is the authors' rule. Classes that are new have to be learned by just these parts.
    decay_predictors: bool = _option(
        False, SWITCH, "queries and predictors have the rate of the patch embedding"
    )
    warmup_iters: int | None = _option(
        None, COUNT_OR_0, "steps in which the rate rises; default: 1500, at most a tenth of the run"
    )
    warmup_ratio: float = _option(1e-6, SHARE, "of the rate, where it begins to rise")
    power: float = _option(1.0, ABOVE_0, "exponent of the polynomial along which the rate falls")
    clip_norm: float | None = _option(0.01, ABOVE_0_OR_NONE, "largest norm of the gradients")
    drop_path: float | None = _option(None, BELOW_1, "stochastic depth; default: the model's")
    checkpoint_activations: bool | None = _option(
        None, SWITCH, "compute activations twice to save memory; default: the model's", FREE
    )
    dtype: str = _option("float32", DTYPE, "of products; default: float32", FREE)
    sync_batch_norm: bool = _option(True, SWITCH, "batch norms see the batch of all processes")
    ratio_range: tuple[float, float] = _option((0.5, 2.0), FACTORS, "of random resizing")
    cat_max_ratio: float = _option(0.75, SHARE, "largest share of a crop that one class may have")
    flip: float = _option(0.5, SHARE, "chance of an image to be mirrored")
    photometric: bool = _option(True, SWITCH, "distort brightness, contrast, saturation and hue")
    seed: int = _option(42, COUNT_OR_0, "of everything random")

    log_interval: int = _option(50, COUNT, "steps between lines of the log", RUN)
    evaluation_interval: int | None = _option(
        None, COUNT_OR_0, "steps between evaluations, 0 for none; default: 10 in a run", RUN
    )
    checkpoint_interval: int | None = _option(
        None, COUNT, "steps between checkpoints; default: one after each evaluation", RUN
    )
    max_checkpoints: int = _option(2, COUNT, "checkpoints that are kept", RUN)
    sample_pictures: int = _option(4, COUNT_OR_0, "images drawn with every evaluation", RUN)
    workers: int = _option(2, COUNT_OR_0, "processes that read and augment images", RUN)
    worker_timeout: float = _option(
        600.0, ABOVE_0, "seconds without a batch after which workers are taken to have failed", RUN
    )
    tensorboard: bool = _option(True, SWITCH, "write files for TensorBoard", RUN)

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if value is not None or one.default is not None:
                check(one.name, value, one.metadata["rule"])

    def changed(self, part: str, options: Mapping[str, object]) -> TrainConfig:
        """With other values of `part`, `recipe` or `run`, by name; a list stands for a tuple.

        Raises:
            ValueError: that part has no such field, or a value isn't allowed.
        """
        known = sorted(one.name for one in options_of(part))
        values: dict[str, Any] = {}
        for name, value in options.items():
            if name not in known:
                raise ValueError(
                    f"{part} has no option {name!r}: expected one of {', '.join(known)}"
                )
            values[name] = tuple(value) if isinstance(value, list) else value
        return replace(self, **values)

    def fixed(self) -> dict[str, Any]:
        """The values that must stay as they are when a run goes on, by name."""
        kept = [one.name for one in fields(self) if one.metadata["kind"] == FIXED]
        return {name: getattr(self, name) for name in kept}

    def warmup(self, max_iters: int) -> int:
        """Steps of the warm-up in a run of `max_iters` steps."""
        given = self.warmup_iters
        return min(PAPER_WARMUP, max_iters // 10) if given is None else min(given, max_iters)

    def evaluates_every(self, max_iters: int) -> int:
        """Steps between evaluations in a run of `max_iters` steps; 0 for none."""
        given = self.evaluation_interval
        return max(max_iters // EVALUATIONS, 1) if given is None else min(given, max_iters)

    def saves_every(self, max_iters: int) -> int:
        """Steps between checkpoints in a run of `max_iters` steps."""
        given = self.checkpoint_interval or self.evaluation_interval
        return min(given, max_iters) if given else max(max_iters // EVALUATIONS, 1)


def options_of(part: str) -> list[Field[Any]]:
    """The fields of a part of `TrainConfig`, `recipe` or `run`."""
    return [one for one in fields(TrainConfig) if (one.metadata["kind"] == RUN) == (part == "run")]


def checkpoint_files(checkpoint: Path) -> tuple[Path, Path]:
    """The files of a checkpoint, weights and training state; `checkpoint` may be one of them."""
    name = checkpoint.name.removesuffix(STATE_SUFFIX).removesuffix(WEIGHTS_SUFFIX)
    return checkpoint.with_name(name + WEIGHTS_SUFFIX), checkpoint.with_name(name + STATE_SUFFIX)


def saved_checkpoints(folder: Path, names: re.Pattern[str]) -> list[Path]:
    """The whole checkpoints of a run called `PERIODIC` or `BEST`, in order of their steps."""
    found = []
    for state in folder.glob(f"*{STATE_SUFFIX}"):
        checkpoint = folder / state.name.removesuffix(STATE_SUFFIX)
        steps = names.fullmatch(checkpoint.name)
        if steps and checkpoint_files(checkpoint)[0].is_file():
            found.append((int(steps[1]), checkpoint))
    return [checkpoint for _, checkpoint in sorted(found)]


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the furthest step, as the trainer's `train` takes it, or None."""
    saved = saved_checkpoints(folder, PERIODIC)
    return saved[-1] if saved else None


def chosen_checkpoint(path: Path) -> Path:
    """The checkpoint that a path names: one, one of its files, or a run's folder, whose last it is.

    Raises:
        CheckpointNotFoundError: there is none, or one of its files is missing.
    """
    whole = f"a checkpoint is N{WEIGHTS_SUFFIX} with N{STATE_SUFFIX} beside it"
    if path.is_dir():
        latest = latest_checkpoint(path)
        if latest is None:
            raise CheckpointNotFoundError(
                f"there is no checkpoint iter_N in '{path}' to go on from ({whole}): expected the "
                f"folder of a run that has saved one. Leave {option('resume')} out to begin a run"
            )
        return latest
    missing = [str(file) for file in checkpoint_files(path) if not file.is_file()]
    if missing:
        folder = path.parent
        saved = [*saved_checkpoints(folder, PERIODIC), *saved_checkpoints(folder, BEST)]
        there = listing([one.name for one in saved]) or "none"
        raise CheckpointNotFoundError(
            f"there is no checkpoint '{path}' to go on from: '{missing[0]}' is missing. Expected a "
            f"run's folder or one of its checkpoints ({whole}). In '{folder}' there are: {there}"
        )
    return path.with_name(checkpoint_files(path)[0].name.removesuffix(WEIGHTS_SUFFIX))


def check_free(folder: Path, checkpoint: Path | None) -> None:
    """Raises TrainingError where a folder has checkpoints of another run than goes on, if one does.

    Args:
        folder: what a run is to write into.
        checkpoint: what it goes on from; one in the folder is of the same run.
    """
    own = None if checkpoint is None else checkpoint.resolve().parent
    if latest_checkpoint(folder) is not None and own != folder.resolve():
        raise TrainingError(
            f"'{folder}' has checkpoints of another run: go on from one of them "
            "(train(checkpoint_path=...), --resume), or give another work_dir (--output)"
        )
