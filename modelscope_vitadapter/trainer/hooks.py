"""ModelScope hooks of a training step: the optimiser's step and the schedule."""

from typing import Any

import torch
from modelscope.trainers.hooks import BestCkptSaverHook, EvaluationHook, Hook
from modelscope.trainers.hooks.priority import Priority
from torch import nn


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
        """Takes the step; with float16, one whose gradients are not finite is left out."""
        parameters = [p for p in trainer.training_network.parameters() if p.grad is not None]
        self.scaler.unscale_(trainer.optimizer)
        if self.clip_norm is not None:
            norm = nn.utils.clip_grad_norm_(parameters, self.clip_norm)
            trainer.log_buffer.update({"grad_norm": float(norm)})
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
