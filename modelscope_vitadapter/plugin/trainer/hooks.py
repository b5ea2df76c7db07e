"""ModelScope hooks of a training step: the optimiser's step and the schedule."""

import math
from pathlib import Path
from typing import Any

import torch
from modelscope.trainers.hooks import BestCkptSaverHook, CheckpointHook, EvaluationHook, Hook
from modelscope.trainers.hooks.priority import Priority
from torch import nn

from modelscope_vitadapter.distributed import gathered
from modelscope_vitadapter.plugin.trainer.checkpoints import BEST, PERIODIC, saved_checkpoints
from modelscope_vitadapter.plugin.trainer.stepping import not_finite


class StepHook(Hook):  # type: ignore[misc]  # ModelScope is untyped
    """Clips the gradients of a step and lets the optimiser take it.

    The trainer has computed the gradients, part by part, before.

    Args:
        clip_norm: largest joint norm of the gradients, or None.
        scaler: enlarges the loss where gradients are float16.
    """

    PRIORITY = Priority.ABOVE_NORMAL

    def __init__(self, clip_norm: float | None, scaler: torch.amp.GradScaler) -> None:
        self.clip_norm = clip_norm
        self.scaler = scaler

    def after_train_iter(self, trainer: Any) -> None:
        """Takes the step; with float16, one whose gradients are not finite is left out.

        Raises:
            NotFiniteLossError: gradients are not finite in another type; nothing is changed then.
        """
        parameters = [p for p in trainer.training_network.parameters() if p.grad is not None]
        self.scaler.unscale_(trainer.optimizer)
        limit = math.inf if self.clip_norm is None else self.clip_norm
        norm = float(nn.utils.clip_grad_norm_(parameters, limit))
        if not math.isfinite(norm) and not self.scaler.is_enabled():
            raise not_finite("the gradients' norm", norm, gathered(trainer.batch_names))
        trainer.log_buffer.update({"grad_norm": norm})
        self.scaler.step(trainer.optimizer)
        self.scaler.update()
        trainer.optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs beside the optimiser's own state."""
        return dict(self.scaler.state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes it back."""
        if state_dict:
            self.scaler.load_state_dict(state_dict)


class ScheduleHook(Hook):  # type: ignore[misc]  # ModelScope is untyped
    """Sets the rate of the next step; before checkpoints are written, so that these have it."""

    PRIORITY = Priority.BELOW_NORMAL

    def before_train_iter(self, trainer: Any) -> None:
        """Logs the rate of this step."""
        groups = trainer.optimizer.param_groups
        trainer.log_buffer.output["lr"] = max(group["lr"] for group in groups)

    def after_train_iter(self, trainer: Any) -> None:
        """Goes on to the next step."""
        trainer.lr_scheduler.step()


class EvaluateHook(EvaluationHook):  # type: ignore[misc]  # ModelScope is untyped
    """ModelScope's evaluation by steps, and after the last step whatever the interval is."""

    def __init__(self, interval: int) -> None:
        super().__init__(interval=interval, eval_strategy="by_step")

    def _should_evaluate(self, trainer: Any) -> bool:
        return bool(super()._should_evaluate(trainer)) or bool(self.is_last_iter(trainer))


class BestHook(BestCkptSaverHook):  # type: ignore[misc]  # ModelScope is untyped
    """ModelScope's hook that keeps the best checkpoint, beside `EvaluateHook`."""

    def after_train_epoch(self, trainer: Any) -> None:
        """Evaluation goes by steps."""

    def after_train_iter(self, trainer: Any) -> None:
        """Saves where this step's evaluation was the best so far."""
        tags = [hook.last_eval_tag for hook in trainer.hooks if isinstance(hook, EvaluateHook)]
        if ("iter", trainer.iter) in tags and self._should_save(trainer):
            self._do_save(trainer, "by_step")

    def generate_prefix(self, trainer: Any, save_strategy: str) -> str:
        """`best_iterN_mIoU0.1234`: digits only behind the point, also of small numbers."""
        return f"best_iter{trainer.iter + 1}_{self.metric_key}{self._best_metric:.4f}"

    def _save_checkpoint(self, trainer: Any, prefix: str) -> str:
        older = saved_checkpoints(Path(self.save_dir), BEST)
        self.history_checkpoints: set[str] = set()
        saved: str = super()._save_checkpoint(trainer, prefix)
        for one in older:
            if one.name != prefix:
                self.processor.remove_checkpoints(trainer, checkpoint_path_prefix=str(one))
        return saved


class PeriodicHook(CheckpointHook):  # type: ignore[misc]  # ModelScope is untyped
    """ModelScope's checkpoints every some steps, the older of which it removes.

    Args:
        interval: steps between checkpoints.
        save_dir: where they are written.
        max_checkpoint_num: how many are kept, those of an earlier part of the run included.
    """

    def __init__(self, interval: int, *, save_dir: str, max_checkpoint_num: int) -> None:
        super().__init__(
            save_strategy="by_step",
            interval=interval,
            save_dir=save_dir,
            max_checkpoint_num=max_checkpoint_num,
        )

    def before_run(self, trainer: Any) -> None:
        """Finds what an earlier part of the run saved."""
        super().before_run(trainer)
        saved = saved_checkpoints(Path(self.save_dir), PERIODIC)
        self.history_checkpoints = [str(one) for one in saved]
        self._last_saved = ""

    def save_now(self, trainer: Any) -> None:
        """Saves after this step, unless that was done already."""
        if self.generate_prefix(trainer, "by_step") != self._last_saved:
            self._do_save(trainer, "by_step")

    def _save_checkpoint(self, trainer: Any, prefix: str) -> str:
        # One of an earlier part of the run is written over: it must not be removed as the older.
        others = [one for one in self.history_checkpoints if Path(one).name != prefix]
        self.history_checkpoints = others
        self._last_saved = prefix
        saved: str = super()._save_checkpoint(trainer, prefix)
        return saved
