"""ModelScope hooks of a run: evaluation, checkpoints, logs."""

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
from modelscope_vitadapter.plugin.train_checkpoints import save_checkpoint
from modelscope_vitadapter.training.evaluating import METRIC, draw_samples
from modelscope_vitadapter.training.train_config import (
    BEST,
    PERIODIC,
    TrainConfig,
    checkpoint_files,
    saved_checkpoints,
)

logger = get_logger()


class EvaluateAndSaveHook(Hook):  # type: ignore[misc]  # ModelScope is untyped
    """Evaluates, keeps the best model, and saves checkpoints; also after the last step.

    Args:
        folder: the run's directory.
        config: how often, how many samples are drawn, and how many checkpoints kept beside the best
            one, those of an earlier part of the run included.
        max_iters: steps of the whole run.
        evaluates: whether there is a dataset for evaluation.
    """

    PRIORITY = Priority.LOW  # before logs and `EarlyStopHook`, which want to know the metrics

    def __init__(
        self, folder: Path, config: TrainConfig, max_iters: int, *, evaluates: bool
    ) -> None:
        self.folder, self.config = folder, config
        self.evaluates_every = config.evaluates_every(max_iters) if evaluates else 0
        self.saves_every = config.saves_every(max_iters)
        self.best = -math.inf
        self._saved = 0

    def after_train_iter(self, trainer: Any) -> None:
        """Does what is due."""
        last = self.is_last_iter(trainer)
        if self.evaluates_every and (last or self.every_n_iters(trainer, self.evaluates_every)):
            self._evaluate(trainer)
        if last or self.every_n_iters(trainer, self.saves_every):
            self.save(trainer)

    def _evaluate(self, trainer: Any) -> None:
        """Evaluates, draws samples and saves the model if it is the best so far."""
        steps, metrics = trainer.iter + 1, trainer.evaluate()
        for name, value in metrics.items():
            trainer.log_buffer.output[f"evaluation/{name}"] = value
        trainer.log_buffer.ready = True
        if self.config.sample_pictures and process_index() == 0:
            folder = self.folder / "samples" / f"iter_{steps}"
            segmenter, count = trainer.model.segmenter, self.config.sample_pictures
            drawn = draw_samples(segmenter, trainer.eval_dataset, count, folder)
            names = [str(number) for number in range(len(drawn))]
            shown = {"images": drawn, "filenames": names}  # as TensorboardHook takes them
            trainer.visualization_buffer.output["predictions"] = shown
        if metrics[METRIC] > self.best:
            self.best = metrics[METRIC]
            name = f"best_iter{steps}_{METRIC}{self.best:.4f}"
            self._save(trainer, name, ModelFile.TRAIN_BEST_OUTPUT_DIR)
            self._remove(saved_checkpoints(self.folder, BEST), but=name)

    def save(self, trainer: Any) -> None:
        """Saves a checkpoint after this step, unless that was done already."""
        steps = trainer.iter + 1
        if self._saved != steps:
            self._saved, name = steps, f"iter_{steps}"
            self._save(trainer, name, ModelFile.TRAIN_OUTPUT_DIR)
            older = saved_checkpoints(self.folder, PERIODIC)[: -self.config.max_checkpoints]
            self._remove(older, but=name)

    def _save(self, trainer: Any, name: str, output: str) -> None:
        if process_index() == 0:
            save_checkpoint(trainer, self.folder / name, self.folder / output)
            logger.info("Saved %s", self.folder / name)

    def _remove(self, checkpoints: list[Path], *, but: str) -> None:
        for one in checkpoints:
            if process_index() == 0 and one.name != but:
                for path in checkpoint_files(one):
                    path.unlink(missing_ok=True)

    def state_dict(self) -> dict[str, float]:
        """What resuming needs."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Takes it back."""
        self.best = state_dict["best"]


def run_hooks(folder: Path, config: TrainConfig, max_iters: int, *, evaluates: bool) -> list[Hook]:
    """The hooks of a run; arguments as of `EvaluateAndSaveHook`."""
    interval = config.log_interval
    hooks = [
        IterTimerHook(),
        EvaluateAndSaveHook(folder, config, max_iters, evaluates=evaluates),
        TextLoggerHook(interval=interval, by_epoch=False, out_dir=str(folder)),
    ]
    if config.tensorboard and find_spec("tensorboard") is not None:
        hooks.append(TensorboardHook(interval=interval, by_epoch=False))
    elif config.tensorboard:
        logger.info(
            "TensorBoard is not installed, so nothing is written for it; "
            "pip install modelscope-vitadapter[training] brings it"
        )
    return hooks
