"""The loop over steps: through epochs, from the middle of one, until it is asked to stop."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import FrameType
from typing import Any

import torch
from modelscope.trainers.trainer import EpochBasedTrainer
from modelscope.utils.constant import ModeKeys, TrainerStages

from modelscope_vitadapter.distributed import summed
from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.plugin.train_hooks import EvaluateAndSaveHook
from modelscope_vitadapter.training.loader import Batch, BatchLoader
from modelscope_vitadapter.training.train_step import TrainStep

SIGNALS = (signal.SIGINT, signal.SIGTERM)

ONE_REQUEST = 1.0
"""Seconds in which signals are one request: torchrun passes on what the terminal sent as well."""

logger = get_logger()


class StopRequest:
    """Remembers that Ctrl-C or SIGTERM came; a second one acts at once."""

    asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Takes the signals while a run goes on; nothing outside of the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) or signal.SIG_DFL for number in SIGNALS}
        asked_at = 0.0

        def take(number: int, frame: FrameType | None) -> None:
            nonlocal asked_at
            if not self.asked:
                self.asked, asked_at = True, time.monotonic()
                logger.warning("Stopping after this step, with a checkpoint; again: at once.")
            elif time.monotonic() - asked_at > ONE_REQUEST:
                signal.signal(number, before[signal.Signals(number)])
                signal.raise_signal(number)

        for number in SIGNALS:
            signal.signal(number, take)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


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
        with self.stop_request.listening(), closing(data_loader):
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
        self.train_step(self.model, batch)
        self.invoke_hook(TrainerStages.after_train_iter)
        # Any process may have been asked, by a signal or by a hook (`EarlyStopHook`).
        asked = self.stop_request.asked or self._stop_training
        self._stop_training = bool(summed(torch.tensor(float(asked), device=self.device)) > 0)
        if self._stop_training:
            for hook in self.get_hook(EvaluateAndSaveHook):
                hook.save(self)
        self._iter += 1

    def train_step(self, model: Any, inputs: Batch) -> None:
        """Takes a step of `stepping`'s network, whatever `model` is; its losses go into the log."""
        self.train_outputs = self.stepping(inputs)
        self.log_buffer.output["lr"] = max(self.stepping.schedule.get_last_lr())
        self.log_buffer.update(self.train_outputs)
        self.stepping.schedule.step()
