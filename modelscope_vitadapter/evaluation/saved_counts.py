"""What an evaluation that was stopped goes on from: counts, and which pictures are in them."""

from __future__ import annotations

import os
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.errors import DataSetError

FORMAT = 1
"""Number of the file's form."""


@dataclass
class Counted:
    """Counts over some pictures of a data set.

    Attributes:
        counts: `(K, K)` int64, see `ConfusionMatrix`.
        done: `(N,)` bool: the pictures that are in them.
    """

    counts: NDArray[np.int64]
    done: NDArray[np.bool_]

    @classmethod
    def nothing(cls, num_classes: int, pictures: int) -> Counted:
        """Of no picture."""
        return cls(np.zeros((num_classes, num_classes), np.int64), np.zeros(pictures, np.bool_))


@dataclass
class SavedCounts:
    """A file that counts are saved to, for each of several processes one.

    A file is written aside and then takes the old one's place, so at every moment there is a whole
    one. The process with the number R writes `NAME.partR` with what it counted in this run; when a
    run begins, the first process gathers what is there in `NAME` itself.

    Attributes:
        path: the file.
        identity: text that tells data set, model and options from others; a file with another one
            is refused.
        seconds: time between two savings at least.
    """

    path: Path
    identity: str
    seconds: float = 30.0
    _saved: float = field(default=0.0, init=False)

    def gather(self, num_classes: int, pictures: int) -> Counted:
        """Bring together what earlier runs counted, whatever number of processes they had.

        Raises:
            DataSetError: A file is of another evaluation, or is damaged.
        """
        total = Counted.nothing(num_classes, pictures)
        parts = sorted(self.path.parent.glob(f"{_escaped(self.path.name)}.part*"))
        parts = [path for path in parts if path.suffix[5:].isdigit()]
        for path in (self.path, *parts):
            if not path.is_file():
                continue
            found = self._read(path, total)
            overlap = found.done & total.done
            if (found.done == overlap).all():
                continue  # gathered by a run that ended before it could remove it
            if overlap.any():
                raise DataSetError(
                    f"{str(path)!r} has pictures that {str(self.path)!r} has too, and others; "
                    "remove both to begin anew"
                )
            total.counts += found.counts
            total.done |= found.done
        if parts:
            self._write(self.path, total)
            for path in parts:
                path.unlink()
        return total

    def save(self, counted: Counted, process: int, *, now: bool = False) -> None:
        """Save what a process counted in this run, unless it did less than `seconds` ago."""
        moment = time.monotonic()
        if now or moment - self._saved >= self.seconds:
            self._write(self._part(process), counted)
            self._saved = moment

    def remove(self) -> None:
        """Remove all files: the evaluation is complete."""
        for path in self.path.parent.glob(f"{_escaped(self.path.name)}.part*"):
            if path.suffix[5:].isdigit():
                path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def _part(self, process: int) -> Path:
        return self.path.with_name(f"{self.path.name}.part{process}")

    def _read(self, path: Path, expected: Counted) -> Counted:
        try:
            with np.load(path, allow_pickle=False) as stored:
                form, identity = int(stored["format"]), str(stored["identity"])
                counts, done = stored["counts"], stored["done"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DataSetError(
                f"{str(path)!r} is no saved state of an evaluation ({type(error).__name__}: "
                f"{error}); remove it, or choose another name"
            ) from error
        if form != FORMAT or identity != self.identity:
            raise DataSetError(
                f"{str(path)!r} is the state of another evaluation, so this one can't go on from "
                f"it; remove it, or choose another name. There: {identity}. Here: {self.identity}"
            )
        if counts.shape != expected.counts.shape or done.shape != expected.done.shape:
            raise DataSetError(f"{str(path)!r} has other sizes than it should; remove it")
        return Counted(counts.astype(np.int64), done.astype(np.bool_))

    def _write(self, path: Path, counted: Counted) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f"{path.name}.{os.getpid()}.writing")
        try:
            with aside.open("wb") as file:
                np.savez(
                    file,
                    format=np.int64(FORMAT),
                    identity=np.str_(self.identity),
                    counts=counted.counts,
                    done=counted.done,
                )
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)


def _escaped(name: str) -> str:
    """A file's name as a pattern that matches nothing else."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
