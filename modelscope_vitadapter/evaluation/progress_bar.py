"""A bar on the terminal with the time left and the running mIoU."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from modelscope_vitadapter.evaluation.confusion import ConfusionMatrix
from modelscope_vitadapter.evaluation.figures import figures
from modelscope_vitadapter.evaluation.processes import Processes

TERMINAL_SECONDS = 0.2
FILE_SECONDS = 30.0
"""Time between two lines where they go to a file, in which each of them stays."""


class ProgressBar:
    """What `measure` tells, on standard error; a context that ends the bar.

    Args:
        processes: which of several processes this is; only the first shows a bar, of its share.
    """

    def __init__(self, processes: Processes | None = None) -> None:
        self._processes = processes or Processes()
        self._bar: Any = None

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, total: int, matrix: ConfusionMatrix) -> None:
        """Show how far it is; `matrix` has what was counted."""
        if not self._processes.is_first:
            return
        if self._bar is None:
            self._bar = self._made(done, total)
        if done:
            found = figures(matrix.counts)
            self._bar.set_postfix_str(
                f"mIoU {100 * found.mIoU:.2f}, aAcc {100 * found.aAcc:.2f}", refresh=False
            )
        self._bar.update(done - self._bar.n)

    def _made(self, done: int, total: int) -> Any:
        from tqdm import tqdm

        count = self._processes.count
        return tqdm(
            initial=done,  # those of an earlier run don't count for the speed
            total=total,
            desc="evaluating" if count == 1 else f"evaluating (process 0 of {count}, its share)",
            unit="picture",
            mininterval=TERMINAL_SECONDS if sys.stderr.isatty() else FILE_SECONDS,
            smoothing=0.05,
            dynamic_ncols=True,
            file=sys.stderr,
        )
