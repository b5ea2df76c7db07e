"""What an evaluation that was stopped goes on from: counts, and which images are in them."""

from __future__ import annotations

import glob
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.checkpoint.save import written_aside
from modelscope_vitadapter.errors import DataSetError

FORMAT = 1
"""Number of the file's form."""


@dataclass
class Counted:
    """Counts over some images of a dataset.

    Attributes:
        counts: `(K, K)` int64, see `ConfusionMatrix`.
        done: `(N,)` bool: the images that are in them.
    """

    counts: NDArray[np.int64]
    done: NDArray[np.bool_]

    @classmethod
    def nothing(cls, num_classes: int, images: int) -> Counted:
        """Of no image."""
        return cls(np.zeros((num_classes, num_classes), np.int64), np.zeros(images, np.bool_))


@dataclass
class SavedCounts:
    """A file that counts are saved to, for each of several processes one; never half-written.

    The process with the number R writes `NAME.partR` with what it counted in this run; when a
    run begins, the first process gathers what is there in `NAME` itself.

    Attributes:
        path: the file.
        identity: text that tells dataset, model and options from others; a file with another one
            is refused.
        seconds: time between two savings at least.
    """

    path: Path
    identity: str
    seconds: float = 30.0
    _saved: float = field(default=0.0, init=False)

    def gather(self, num_classes: int, images: int) -> Counted:
        """Brings together what earlier runs counted, whatever number of processes they had.

        Raises:
            DataSetError: a file is of another evaluation, or is damaged.
        """
        total = Counted.nothing(num_classes, images)
        parts = self._parts()
        for path in (self.path, *parts):
            if not path.is_file():
                continue
            found = self._read(path, total)
            overlap = found.done & total.done
            if (found.done == overlap).all():
                continue  # gathered by a run that ended before it could remove it
            if overlap.any():
                raise DataSetError(
                    f"{str(path)!r} has images that {str(self.path)!r} has too, and others; "
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
        """Saves what a process counted in this run, unless it did less than `seconds` ago."""
        moment = time.monotonic()
        if now or moment - self._saved >= self.seconds:
            self._write(self.path.with_name(f"{self.path.name}.part{process}"), counted)
            self._saved = moment

    def remove(self) -> None:
        """Removes all files: the evaluation is complete."""
        for path in (self.path, *self._parts()):
            path.unlink(missing_ok=True)

    def _parts(self) -> list[Path]:
        found = sorted(self.path.parent.glob(f"{glob.escape(self.path.name)}.part*"))
        return [path for path in found if path.suffix[5:].isdigit()]

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
        with written_aside(path) as aside, aside.open("wb") as file:
            np.savez(
                file,
                format=np.int64(FORMAT),
                identity=np.str_(self.identity),
                counts=counted.counts,
                done=counted.done,
            )
