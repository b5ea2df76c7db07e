"""ModelScope hooks of a run: evaluation and checkpoints."""

import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from modelscope.trainers.hooks import Hook, IterTimerHook, TensorboardHook
from modelscope.trainers.hooks.logger import TextLoggerHook
from modelscope.trainers.hooks.priority import Priority
from modelscope.utils.constant import ModelFile

from modelscope_vitadapter.distributed import process_index
from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.plugin.train_checkpoints import remove_checkpoint, save_checkpoint
from modelscope_vitadapter.training.evaluating import METRIC, draw_samples
from modelscope_vitadapter.training.run_directory import BEST, PERIODIC, saved_checkpoints
from modelscope_vitadapter.training.train_config import TrainConfig

logger = get_logger()


class EvaluateHook(Hook):  # type: ignore[misc]  # ModelScope is untyped
    """Evaluates every some steps and after the last one, and draws samples.

    Attributes:
        evaluated_after: number of steps before the last evaluation; 0 before the first one.

    Args:
        folder: the run's directory; samples are written to `samples/iter_N` in it.
        interval: steps between evaluations.
        samples: how many images are drawn.
    """

    def __init__(self, folder: Path, interval: int, samples: int) -> None:
        self.folder, self.interval, self.samples = folder, interval, samples
        self.evaluated_after = 0

    def after_train_iter(self, trainer: Any) -> None:
        """Evaluates where it is due, and has the result logged."""
        if not (self.every_n_iters(trainer, self.interval) or self.is_last_iter(trainer)):
            return
        for name, value in trainer.evaluate().items():
            trainer.log_buffer.output[f"evaluation/{name}"] = value
        trainer.log_buffer.ready = True
        self.evaluated_after = trainer.iter + 1
        if self.samples and process_index() == 0:
            drawn = draw_samples(
                trainer.model.segmenter,
                trainer.eval_dataset,
                self.samples,
                self.folder / "samples" / f"iter_{self.evaluated_after}",
            )
            names = [str(number) for number in range(len(drawn))]
            shown = {"images": drawn, "filenames": names}  # as TensorboardHook takes them
            trainer.visualization_buffer.output["predictions"] = shown


class SaveHook(Hook):  # type: ignore[misc]  # ModelScope is untyped
    """Saves a checkpoint every some steps and after the last one, and the best one of all.

    Args:
        folder: the run's directory.
        interval: steps between checkpoints.
        kept: how many are kept beside the best one, those of an earlier part of the run included.
        evaluation: says when there is something to be the best; None: never.
    """

    PRIORITY = Priority.LOW

    def __init__(
        self, folder: Path, interval: int, kept: int, evaluation: EvaluateHook | None
    ) -> None:
        self.folder, self.interval, self.kept = folder, interval, kept
        self.evaluation = evaluation
        self.best = -math.inf
        self._saved = 0

    def before_run(self, trainer: Any) -> None:
        """Nothing of this run is saved yet."""
        self._saved = 0

    def after_train_iter(self, trainer: Any) -> None:
        """Saves what is due."""
        steps = trainer.iter + 1
        evaluated = self.evaluation is not None and self.evaluation.evaluated_after == steps
        if evaluated and trainer.metric_values[METRIC] > self.best:
            self.best = trainer.metric_values[METRIC]
            name = f"best_iter{steps}_{METRIC}{self.best:.4f}"
            self._save(trainer, name, ModelFile.TRAIN_BEST_OUTPUT_DIR)
            self._remove_others([path for _, path in saved_checkpoints(self.folder, BEST)], name)
        if self.every_n_iters(trainer, self.interval) or self.is_last_iter(trainer):
            self.save(trainer)

    def save(self, trainer: Any) -> None:
        """Saves after this step, unless that was done already."""
        steps = trainer.iter + 1
        if self._saved == steps:
            return
        self._saved = steps
        self._save(trainer, f"iter_{steps}", ModelFile.TRAIN_OUTPUT_DIR)
        # Those of further steps, where a run goes on from an older one, are yet to be replaced.
        saved = [path for n, path in saved_checkpoints(self.folder, PERIODIC) if n <= steps]
        self._remove_others(saved[: -self.kept], f"iter_{steps}")

    def _save(self, trainer: Any, name: str, output: str) -> None:
        if process_index() == 0:
            save_checkpoint(trainer, self.folder / name, self.folder / output)

    def _remove_others(self, checkpoints: list[Path], name: str) -> None:
        for one in checkpoints:
            if process_index() == 0 and one.name != name:
                remove_checkpoint(one)

    def state_dict(self) -> dict[str, float]:
        """What resuming needs."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Takes it back."""
        self.best = state_dict["best"]


def run_hooks(config: TrainConfig, folder: Path, max_iters: int, *, evaluates: bool) -> list[Hook]:
    """The hooks of a run: log, evaluation, checkpoints, TensorBoard.

    Args:
        config: how often they do something.
        folder: the run's directory.
        max_iters: steps of the whole run.
        evaluates: whether there is a data set for evaluation.
    """
    log, between = config.log_interval, config.evaluates_every(max_iters)
    evaluation = EvaluateHook(folder, between, config.sample_pictures) if evaluates else None
    saving = SaveHook(folder, config.saves_every(max_iters), config.max_checkpoints, evaluation)
    text = TextLoggerHook(interval=log, by_epoch=False, out_dir=str(folder))
    hooks: list[Hook] = [IterTimerHook(), saving, text]
    if evaluation is not None:
        hooks.append(evaluation)
    if config.tensorboard and find_spec("tensorboard") is not None:
        hooks.append(TensorboardHook(interval=log, by_epoch=False))
    elif config.tensorboard:
        logger.info(
            "TensorBoard is not installed, so nothing is written for it; "
            "pip install modelscope-vitadapter[training] brings it"
        )
    return hooks
