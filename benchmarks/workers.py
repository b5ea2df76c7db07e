"""Starts worker processes, asks them and makes sure that none is left behind."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[1]
LAST_LINES = 15
PATIENCE_S = 10


class WorkerError(Exception):
    """A worker could not be started, died, or failed at what it was asked; the text says more."""


class Worker:
    """A process that answers lines of JSON, see `worker.serve`. To be used in a `with` statement.

    Args:
        name: used in messages.
        command: the program and its arguments.
        threads: for OpenMP and MKL in the process.
    """

    def __init__(self, name: str, command: Sequence[str], *, threads: int) -> None:
        self.name = name
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by close()
        count = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        # A group of its own: an interrupt from the keyboard reaches the parent alone, which then
        # ends the worker in an orderly way.
        own_group: dict[str, Any] = (
            {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
            if os.name == "nt"
            else {"start_new_session": True}
        )
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.log,
                env={**os.environ, **count, "PYTHONIOENCODING": "utf-8"},
                cwd=ROOT,
                text=True,
                encoding="utf-8",
                **own_group,
            )
        except OSError as error:
            self.log.close()
            raise WorkerError(f"{name}: {command[0]} could not be started: {error}") from error

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Sends a command and waits for its answer.

        Raises:
            WorkerError: the worker died, or the command failed.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        line = ""
        with contextlib.suppress(OSError):  # a dead worker's pipe: told apart below
            self.process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            hint = " (killed; out of memory?)" if status in (-signal.SIGTERM, -9) else ""
            raise WorkerError(
                f"{self.name}: ended with status {status}{hint} at {command!r}; its last words:\n"
                f"{self._last_words()}"
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(
                f"{self.name}: {command!r} failed with {answer['error']}; its last words:\n"
                f"{self._last_words()}"
            )
        return answer

    def _last_words(self) -> str:
        self.log.seek(0)
        lines = self.log.read().decode("utf-8", "replace").splitlines()
        return "\n".join(lines[-LAST_LINES:])

    def close(self) -> None:
        """Ends the process, by force where it doesn't end by itself."""
        with contextlib.suppress(OSError):  # buffered bytes for a process that is dead
            self.process.stdin.close()  # type: ignore[union-attr]
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()  # type: ignore[union-attr]
        self.log.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def own_side(name: str, *, threads: int) -> Worker:
    """A worker that runs this package under this very Python."""
    return Worker(name, [sys.executable, str(ROOT / "benchmarks/worker.py")], threads=threads)


def builtin_side(python: Path, *, threads: int) -> Worker:
    """A worker that runs the built-in model under its own environment's Python."""
    worker = ROOT / "benchmarks/worker.py"
    return Worker("built-in", [str(python), str(worker)], threads=threads)


def tasks(*, threads: int) -> Worker:
    """A worker for what neither side is measured by, see `tasks.py`."""
    return Worker("tasks", [sys.executable, "-m", "benchmarks.tasks"], threads=threads)


def run_to_end(work: Callable[[], None]) -> int:
    """Runs what a command does; gives the exit status. Whatever ends it, no worker is left."""
    try:
        with ended_by_signals():
            work()
    except KeyboardInterrupt:
        print("interrupted; all workers have ended", file=sys.stderr)
        return 130
    except WorkerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turns a termination signal into `SystemExit`, so that `with` statements end their workers."""

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
