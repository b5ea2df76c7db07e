"""What was done of a job: a line of JSON for each input, which a later run goes on from."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from modelscope_vitadapter.checkpoint.save import written_aside
from modelscope_vitadapter.errors import VitAdapterError

FILE = "manifest.jsonl"


@dataclass(frozen=True)
class Row:
    """An input, and what became of it."""

    input: str
    name: str  # of its outputs, without suffix
    state: str  # of the input, see `sources.Item.state`
    job: str  # digest of the options that the outputs depend on
    model: str
    outputs: Mapping[str, str] = field(default_factory=dict)  # by kind, relative to the folder
    size: tuple[int, int] | None = None  # height, width
    classes: tuple[Mapping[str, Any], ...] = ()  # id, name, pixels and share
    seconds: float = 0.0
    frames: int | None = None  # of a video
    error: str | None = None


def digest(values: Mapping[str, Any]) -> str:
    """A short text that is another one for other values."""
    text = json.dumps(values, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Manifest:
    """The file of rows in a job's folder; one process writes it.

    A row is appended when its outputs are there. A line that was cut off, as by a power failure, is
    passed over. `close` leaves one row for each input, in the order of their first lines.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.rows = self._read()
        self._file: Any = None

    def _read(self) -> dict[str, Row]:
        rows: dict[str, Row] = {}
        if not self.path.is_file():
            return rows
        content = self.path.read_text(encoding="utf-8", errors="replace")
        for line in content.splitlines():
            try:
                values = json.loads(line)
                rows[values["input"]] = Row(**values)
            except (ValueError, TypeError, KeyError):
                continue
        return rows

    def is_done(self, input: str, state: str, job: str) -> bool:
        """Whether an input was segmented by this job as it is now, and all outputs are there."""
        row = self.rows.get(input)
        if row is None or row.error is not None or (row.state, row.job) != (state, job):
            return False
        folder = self.path.parent
        return all((folder / one).exists() for one in row.outputs.values())

    def add(self, row: Row) -> str:
        """Appends a row, and gives its line."""
        line = json.dumps(asdict(row), ensure_ascii=False)
        if self._file is None:
            self._file = self.path.open("a", encoding="utf-8", newline="\n")
            if self._file.tell():
                self._file.write("\n")  # ends a line that was cut off
        self._file.write(line + "\n")
        self._file.flush()
        self.rows[row.input] = row
        return line

    def close(self) -> None:
        """Rewrites the file with a row for each input."""
        if self._file is not None:
            self._file.close()
            self._file = None
            with written_aside(self.path) as aside:
                lines = (json.dumps(asdict(row), ensure_ascii=False) for row in self.rows.values())
                aside.write_text("\n".join(lines) + "\n", encoding="utf-8")


def open_folder(folder: Path) -> Path:
    """Makes the folder of outputs; VitAdapterError where nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise VitAdapterError(
            f"nothing can be written to {str(folder)!r} ({error.strerror or error}): give another "
            "--output, or free it"
        ) from error
    return folder
