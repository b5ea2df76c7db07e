"""What an evaluation that was stopped goes on from: counts, and which images are in them."""

import glob
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from modelscope_vitadapter.checkpoint.save import written_aside
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.evaluation.metrics import ConfusionMatrix


class Counted(ConfusionMatrix):
    """Counts over some images of a dataset; `done`, `(N,)` bool, tells which are in them."""

    def __init__(self, num_classes: int, images: int) -> None:
        super().__init__(num_classes)
        self.done = np.zeros(images, np.bool_)


@dataclass
class SavedCounts:
    """A file that counts are saved to, for each of several processes one; never half-written.

    The process with the number R writes `NAME.partR` with what it counted in this run; when a
    run begins, the first process gathers what is there in `NAME` itself. A file with another
    `identity` (dataset, model, options) is refused. `seconds` pass at least between two savings.
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
        total = Counted(num_classes, images)
        parts = self._parts()
        for path in (self.path, *parts):
            if not path.is_file():
                continue
            found = self._read(path, num_classes, images)
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
        """Removes all files, once the evaluation is complete."""
        for path in (self.path, *self._parts()):
            path.unlink(missing_ok=True)

    def _parts(self) -> list[Path]:
        found = sorted(self.path.parent.glob(f"{glob.escape(self.path.name)}.part*"))
        return [path for path in found if path.suffix[5:].isdigit()]

    def _read(self, path: Path, num_classes: int, images: int) -> Counted:
        found = Counted(num_classes, images)
        try:
            with np.load(path, allow_pickle=False) as stored:
                identity = str(stored["identity"])
                found.counts[:], found.done[:] = stored["counts"], stored["done"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DataSetError(
                f"{str(path)!r} is no saved state of an evaluation ({type(error).__name__}: "
                f"{error}); remove it, or choose another name"
            ) from error
        if identity != self.identity:
            raise DataSetError(
                f"{str(path)!r} is the state of another evaluation, so this one can't go on from "
                f"it; remove it, or choose another name. There: {identity}. Here: {self.identity}"
            )
        return found

    def _write(self, path: Path, counted: Counted) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as aside, aside.open("wb") as file:
            identity = np.str_(self.identity)
            np.savez(file, identity=identity, counts=counted.counts, done=counted.done)
