"""Ends a run between two steps when it is asked to."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from modelscope_vitadapter.logs import get_logger

logger = get_logger()

Handler = Callable[[int, FrameType | None], Any] | int | None

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM") if hasattr(signal, name))


ONE_REQUEST = 1.0
"""Seconds in which signals are one request: torchrun passes on what the terminal sent as well."""


class StopRequest:
    """Remembers that Ctrl-C or SIGTERM came; a second one acts at once."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self) -> None:
        """Asks for an end after this step."""
        self.asked = True

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Takes the signals while a run goes on; nothing outside of the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}

        asked_at = -math.inf

        def take(number: int, frame: FrameType | None) -> None:
            nonlocal asked_at
            if self.asked and time.monotonic() - asked_at > ONE_REQUEST:
                self._restore(before)
                signal.raise_signal(number)
            elif not self.asked:
                self.asked, asked_at = True, time.monotonic()
                logger.warning("Stopping after this step, with a checkpoint; again: at once.")

        for number in SIGNALS:
            signal.signal(number, take)
        try:
            yield
        finally:
            self._restore(before)

    @staticmethod
    def _restore(before: dict[int, Handler]) -> None:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
