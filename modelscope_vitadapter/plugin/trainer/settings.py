"""What a run is asked to do, beside the recipe."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FREE = ("max_iters", "max_epochs", "accumulation", "dtype", "checkpoint_activations")
"""Fields of the recipe that may be otherwise when a run goes on."""

TO_RECIPE = ("max_epochs", "seed")
TO_MODELSCOPE = ("cfg_modify_fn", "callbacks", "trust_remote_code", "cfg_options", "arg_parse_fn")
WITHOUT_EFFECT = ("launcher", "cfg_file", "model_revision", "third_party")
"""Arguments of `EpochBasedTrainer`: those of the recipe, those that are handed on, and those that
have been used already or are told by torchrun's environment."""


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sorts the arguments that the trainer does not name itself.

    Returns:
        What goes into the recipe, and what is handed on to `EpochBasedTrainer`.

    Raises:
        TypeError: for others, which would have no effect.
    """
    known = (*TO_RECIPE, *TO_MODELSCOPE, *WITHOUT_EFFECT)
    unknown = [name for name in options if name not in known]
    if unknown:
        raise TypeError(
            f"the trainer takes no {unknown[0]!r}: expected its own arguments, or "
            f"{', '.join((*TO_RECIPE, *TO_MODELSCOPE))}. Rates, batches and the like are fields of "
            "`recipe`, intervals and workers of `run`"
        )
    given = {name: options[name] for name in TO_RECIPE if options.get(name) is not None}
    return given, {name: options[name] for name in TO_MODELSCOPE if name in options}


@dataclass(frozen=True)
class RunSettings:
    """How often a run reports, evaluates and saves.

    Attributes:
        work_dir: everything is written there.
        log_interval: steps between lines of the log.
        evaluation_interval: steps between evaluations; None for ten in a run, 0 for none.
        checkpoint_interval: steps between checkpoints; None for one after each evaluation.
        max_checkpoints: checkpoints that are kept.
        sample_pictures: pictures of the evaluation set that are drawn with every evaluation.
        workers: processes that read and augment pictures.
        tensorboard: write TensorBoard's files.
    """

    work_dir: Path
    log_interval: int = 50
    evaluation_interval: int | None = None
    checkpoint_interval: int | None = None
    max_checkpoints: int = 2
    sample_pictures: int = 4
    workers: int = 2
    tensorboard: bool = True

    def __post_init__(self) -> None:
        least = {"log_interval": 1, "max_checkpoints": 1, "sample_pictures": 0, "workers": 0}
        least |= {"evaluation_interval": 0, "checkpoint_interval": 1}
        for name, low in least.items():
            value = getattr(self, name)
            if value is None and name in ("evaluation_interval", "checkpoint_interval"):
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise ValueError(f"{name} is {value!r}: expected a whole number from {low} up")

    def evaluates_every(self, max_iters: int, has_evaluation_set: bool) -> int:
        """Steps between evaluations; 0 for none."""
        if not has_evaluation_set:
            return 0
        if self.evaluation_interval is not None:
            return min(self.evaluation_interval, max_iters)
        return max(max_iters // 10, 1)

    def saves_every(self, max_iters: int) -> int:
        """Steps between checkpoints."""
        if self.checkpoint_interval is not None:
            return min(self.checkpoint_interval, max_iters)
        if self.evaluation_interval:
            return min(self.evaluation_interval, max_iters)
        return max(max_iters // 10, 1)
