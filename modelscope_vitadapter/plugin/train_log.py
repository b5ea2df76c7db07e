"""The log of a run: when a line is written, and the file that takes what ModelScope's logger says.

ModelScope's trainers (1.40.2) begin the file when they are made, in a folder that may turn out to
be another run's, and write the first line of losses after a whole interval.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelscope.trainers.hooks.logger import TextLoggerHook
from modelscope.utils.logger import formatter, get_logger

from modelscope_vitadapter.distributed import process_index

LONGEST_SILENCE = 60.0
"""Seconds after which a step writes a line, whatever the interval is."""


class TimedLoggerHook(TextLoggerHook):  # type: ignore[misc]  # ModelScope is untyped
    """Writes a line after the first step, then at intervals of steps, or of time in slow runs.

    A line has the means over the steps since the last one, as far as they are of the same epoch.
    Hooks of logs that follow, with `interval=0`, write at the same steps.
    """

    def __init__(self, every: int, folder: str) -> None:
        super().__init__(interval=0, by_epoch=False, out_dir=folder)
        self._every = every

    def before_run(self, trainer: Any) -> None:
        """Begins to count."""
        super().before_run(trainer)
        self._written, self._time = trainer.iter, time.monotonic()

    def after_train_iter(self, trainer: Any) -> None:
        """Writes the line that is due, or what another hook, such as an evaluation, has ready."""
        buffer, now = trainer.log_buffer, time.monotonic()
        is_late = now - self._time >= LONGEST_SILENCE
        is_first = trainer.iter == self.start_iter
        if is_first or is_late or self.every_n_iters(trainer, self._every):
            self.interval = trainer.iter + 1 - self._written  # steps that the base class reckons by
            self.fetch_tensor(trainer, self.interval)
            buffer.average(self.interval)
            self._written, self._time = trainer.iter + 1, now
        if buffer.ready:
            self.log(trainer)
            if self.reset_flag:
                buffer.clear_output()


@contextmanager
def logged_to(path: Path, begin: str = "") -> Iterator[None]:
    """Appends `begin`, and what ModelScope's logger says in a `with` block, to a file.

    ModelScope opens no other file in that time. Of several processes only the first one writes.
    """
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(formatter)
    if process_index() > 0:
        handler.setLevel(logging.CRITICAL + 1)
    elif begin:
        with path.open("a", encoding="utf-8") as file:
            file.write(begin)
    logger = get_logger()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
