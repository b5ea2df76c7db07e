"""The loop over steps, from the middle of an epoch until it is asked to stop, and its hooks."""

import math
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from modelscope.trainers.hooks import Hook, IterTimerHook, TensorboardHook
from modelscope.trainers.hooks.priority import Priority
from modelscope.trainers.trainer import EpochBasedTrainer
from modelscope.utils.constant import ModeKeys, ModelFile, TrainerStages

from modelscope_vitadapter.distributed import process_index, summed
from modelscope_vitadapter.interrupts import StopRequest
from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.plugin.train_checkpoints import save_checkpoint
from modelscope_vitadapter.plugin.train_log import TimedLoggerHook
from modelscope_vitadapter.training.evaluating import METRIC, draw_samples
from modelscope_vitadapter.training.loader import Batch, BatchLoader, worker_failures
from modelscope_vitadapter.training.train_config import (
    BEST,
    PERIODIC,
    TrainConfig,
    checkpoint_files,
    saved_checkpoints,
)
from modelscope_vitadapter.training.train_step import TrainStep

logger = get_logger()


class EvaluateAndSaveHook(Hook):  # type: ignore[misc]  # ModelScope is untyped
    """Evaluates, keeps the best model, and saves checkpoints; also after the last step."""

    PRIORITY = Priority.LOW  # before logs and `EarlyStopHook`, which want to know the metrics

    def __init__(self) -> None:
        self.best, self._saved = -math.inf, 0

    def after_train_iter(self, trainer: Any) -> None:
        """Does what is due."""
        config, last = trainer.train_config, self.is_last_iter(trainer)
        interval = 0 if trainer.eval_dataset is None else config.evaluates_every(trainer.max_iters)
        if interval and (last or self.every_n_iters(trainer, interval)):
            self._evaluate(trainer)
        if last or self.every_n_iters(trainer, config.saves_every(trainer.max_iters)):
            self.save(trainer)

    def _evaluate(self, trainer: Any) -> None:
        """Evaluates, draws samples and saves the model if it is the best so far."""
        folder, steps, metrics = Path(trainer.work_dir), trainer.iter + 1, trainer.evaluate()
        for name, value in metrics.items():
            trainer.log_buffer.output[f"evaluation/{name}"] = value
        trainer.log_buffer.ready = True
        count = trainer.train_config.sample_pictures
        if count and process_index() == 0:
            target = folder / "samples" / f"iter_{steps}"
            drawn = draw_samples(trainer.model.segmenter, trainer.eval_dataset, count, target)
            names = [str(number) for number in range(len(drawn))]
            shown = {"images": drawn, "filenames": names}  # as TensorboardHook takes them
            trainer.visualization_buffer.output["predictions"] = shown
        if metrics[METRIC] > self.best:
            self.best = metrics[METRIC]
            name = f"best_iter{steps}_{METRIC}{self.best:.4f}"
            _save(trainer, folder / name, ModelFile.TRAIN_BEST_OUTPUT_DIR)
            _remove(saved_checkpoints(folder, BEST), but=name)

    def save(self, trainer: Any) -> None:
        """Saves a checkpoint after this step, unless that was done already."""
        folder, steps = Path(trainer.work_dir), trainer.iter + 1
        if self._saved != steps:
            self._saved = steps
            _save(trainer, folder / f"iter_{steps}", ModelFile.TRAIN_OUTPUT_DIR)
            _keep_last(folder, steps, trainer.train_config.max_checkpoints)

    def state_dict(self) -> dict[str, float]:
        """What resuming needs."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Takes it back."""
        self.best = state_dict["best"]


def _save(trainer: Any, checkpoint: Path, output: str) -> None:
    if process_index() == 0:
        save_checkpoint(trainer, checkpoint, checkpoint.with_name(output))
        logger.info("Saved %s", checkpoint)


def _remove(checkpoints: list[Path], *, but: str) -> None:
    for one in checkpoints:
        if process_index() == 0 and one.name != but:
            for path in checkpoint_files(one):
                path.unlink(missing_ok=True)


def _keep_last(folder: Path, steps: int, kept: int) -> None:
    """Removes what is too old, and what an earlier part of the run had saved of later steps.

    That would otherwise be what `--resume` goes on from.
    """
    saved = saved_checkpoints(folder, PERIODIC)
    own = [one for one in saved if int(one.name.removeprefix("iter_")) <= steps]
    _remove([*own[:-kept], *saved[len(own) :]], but=f"iter_{steps}")


def run_hooks(folder: str, config: TrainConfig) -> list[Hook]:
    """The hooks of a run, which writes into a folder."""
    hooks = [IterTimerHook(), EvaluateAndSaveHook()]
    if config.tensorboard and find_spec("tensorboard") is not None:
        hooks.append(TensorboardHook(interval=0, by_epoch=False))
    # Of equal priority the one that is registered later acts first: this one, which is followed.
    return [*hooks, TimedLoggerHook(config.log_interval, folder)]


class StepLoop(EpochBasedTrainer):  # type: ignore[misc]  # ModelScope is untyped
    """What `EpochBasedTrainer` does epoch by epoch, here step by step."""

    _stop_training = False
    stop_request: StopRequest
    stepping: TrainStep

    def train_loop(self, data_loader: BatchLoader) -> None:
        """Runs all steps that are left, from the middle of an epoch where a checkpoint says so.

        An interrupt (Ctrl-C, SIGTERM) lets the step end, saves a checkpoint and returns.
        """
        self.invoke_hook(TrainerStages.before_run)
        with self.stop_request.listening(), worker_failures(), closing(data_loader):
            while self._iter < self.max_iters and not self._stop_training:
                self._epoch, first = divmod(self._iter, self.iters_per_epoch)
                self.invoke_hook(TrainerStages.before_train_epoch)
                with closing(data_loader.epoch(self._epoch, first)) as batches:
                    for self._inner_iter, batch in enumerate(batches, first):
                        self._run_step(batch)
                        if self._stop_training or self._iter == self.max_iters:
                            break
                if self._iter % self.iters_per_epoch == 0:
                    self.invoke_hook(TrainerStages.after_train_epoch)
        self.invoke_hook(TrainerStages.after_run)

    def _run_step(self, batch: Batch) -> None:
        """A step and the hooks around it; hooks see the number of the steps before it."""
        self._mode = ModeKeys.TRAIN
        self.invoke_hook(TrainerStages.before_train_iter)
        self.train_outputs = self.stepping(batch)
        self.log_buffer.output["lr"] = max(self.stepping.schedule.get_last_lr())
        self.log_buffer.update(self.train_outputs)
        self.stepping.schedule.step()
        self.invoke_hook(TrainerStages.after_train_iter)
        # Any process may have been asked, by a signal or by a hook (`EarlyStopHook`).
        asked = self.stop_request.asked or self._stop_training
        self._stop_training = bool(summed(torch.tensor(float(asked), device=self.device)) > 0)
        if self._stop_training:
            for hook in self.get_hook(EvaluateAndSaveHook):
                hook.save(self)
        self._iter += 1
