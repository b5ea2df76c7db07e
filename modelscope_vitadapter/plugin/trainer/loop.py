"""The loop over steps: through epochs, from the middle of one, until it is asked to stop."""

from contextlib import closing
from typing import Any

import torch
from modelscope.trainers.trainer import EpochBasedTrainer
from modelscope.utils.constant import ModeKeys, TrainerStages
from torch.nn.parallel import DistributedDataParallel

from modelscope_vitadapter.distributed import process_count, process_index, summed
from modelscope_vitadapter.plugin.trainer.hooks import PeriodicHook
from modelscope_vitadapter.plugin.trainer.interrupts import StopRequest
from modelscope_vitadapter.plugin.trainer.stepping import compute_gradients
from modelscope_vitadapter.training.batches import BatchLoader
from modelscope_vitadapter.training.recipe import Recipe
from modelscope_vitadapter.training.samples import Batch
from modelscope_vitadapter.training.training_network import TrainingNetwork


class StepLoop(EpochBasedTrainer):  # type: ignore[misc]  # ModelScope is untyped
    """What `EpochBasedTrainer` does epoch by epoch, here step by step.

    Attributes:
        recipe: of the run.
        stop_request: whether somebody asked for an end.
        scaler: of gradients; it does nothing but in float16.
        batch_names: names of the pictures of this process in the current step.
    """

    recipe: Recipe
    stop_request: StopRequest
    scaler: torch.amp.GradScaler
    batch_names: list[str]
    _stepping: TrainingNetwork | DistributedDataParallel
    _run_hooks: list[Any]
    _epoch = _inner_iter = 0
    _stop_training = False

    def train_loop(self, data_loader: BatchLoader) -> None:
        """Runs all steps that are left, from the middle of an epoch where a checkpoint says so.

        An interrupt (Ctrl-C, SIGTERM) lets the step end, saves a checkpoint and returns.
        """
        self.invoke_hook(TrainerStages.before_run)
        with self.stop_request.listening(), closing(data_loader):
            while self._iter < self.max_iters and not self._stop_training:
                if self._inner_iter >= self.iters_per_epoch:
                    self._epoch, self._inner_iter = self._epoch + 1, 0
                self._train_epoch(data_loader)
        self.invoke_hook(TrainerStages.after_run)

    def _train_epoch(self, loader: BatchLoader) -> None:
        """Runs the steps that are left of an epoch, or of the run."""
        loader.set_epoch(self._epoch, self._inner_iter)
        self.invoke_hook(TrainerStages.before_train_epoch)
        first = self._inner_iter
        for number, batch in enumerate(loader, first):
            self._inner_iter = number
            self.invoke_hook(TrainerStages.before_train_iter)
            self.train_step(self._stepping, batch)
            self.invoke_hook(TrainerStages.after_train_iter)
            stop = self._must_stop()
            if stop and self._iter + 1 < self.max_iters:
                self._save_now()
            self._iter += 1
            self._inner_iter = number + 1
            self._mode = ModeKeys.TRAIN
            if stop or self._iter >= self.max_iters:
                self._stop_training = True
                return
        self._inner_iter -= 1  # hooks after an epoch expect its last step
        self.invoke_hook(TrainerStages.after_train_epoch)
        self._inner_iter += 1

    def _must_stop(self) -> bool:
        """Whether any process was asked to stop, by a signal or by a hook (`EarlyStopHook`)."""
        own = self.stop_request.asked or self._stop_training
        asked = torch.tensor(float(own), device=self.device)
        return bool(summed(asked) > 0) if process_count() > 1 else own

    def _save_now(self) -> None:
        if process_index() == 0:
            for hook in self._run_hooks:
                if isinstance(hook, PeriodicHook):
                    hook.save_now(self)

    def train_step(self, model: TrainingNetwork | DistributedDataParallel, inputs: Batch) -> None:
        """Computes the losses of a batch and the gradients; `StepHook` takes the step."""
        model.train()
        self.batch_names = inputs.names
        losses = compute_gradients(
            model, inputs, self.device, parts=self.recipe.accumulation, scaler=self.scaler
        )
        self.train_outputs = losses
        self.log_buffer.update(losses)
