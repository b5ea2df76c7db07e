"""Ctrl-C and SIGTERM as a request to stop at the next good moment."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from modelscope_vitadapter.logs import get_logger

SIGNALS = (signal.SIGINT, signal.SIGTERM)

ONE_REQUEST = 1.0
"""Seconds in which signals are one request: torchrun passes on what the terminal sent as well."""


class StopRequest:
    """Remembers that Ctrl-C or SIGTERM came; a second one acts at once."""

    asked = False

    def __init__(self, text: str) -> None:
        self.text = text  # what is logged at the first signal

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
                get_logger().warning("%s", self.text)
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
