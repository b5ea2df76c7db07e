"""A job: what is done with each input, and what stands in the manifest of it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelscope_vitadapter.images.options import DEFAULT, ReadOptions
from modelscope_vitadapter.prediction.manifest import Manifest, Row
from modelscope_vitadapter.prediction.sources import Item, Names

Work = tuple[Item, str]
"""An input, and the name of its outputs."""


@dataclass(frozen=True)
class Job:
    """What is done with each input."""

    folder: Path  # of the outputs
    model: str  # as it was named
    save: tuple[str, ...]  # kinds of outputs, see `writers.KINDS`
    key: str  # digest of all options that outputs depend on
    keep: tuple[int, ...] | None = None  # classes that are kept; None for all
    threshold: float | None = None  # of the confidence, below which a pixel has no class
    options: ReadOptions = DEFAULT
    frame_step: int = 1
    drawing: dict[str, Any] = field(default_factory=dict)  # options of `visualization.draw`


@dataclass
class Counts:
    """Inputs of a run, by what became of them."""

    segmented: int = 0
    skipped: int = 0  # done by an earlier run
    failed: int = 0


def run_job(
    items: Iterable[Item],
    job: Job,
    rows_of: Callable[[Iterable[Work], Job], Iterator[Row]],
    *,
    tell: Callable[[Row | None, str], None] = lambda row, line: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Counts:
    """Does what is left of a job.

    Args:
        items: all inputs.
        job: what is done with them.
        rows_of: segments and saves inputs, and gives the row of each; `segment_items` with a
            segmenter in this process, or an engine with others.
        tell: called for each input with its row and the manifest's line; None where it was done by
            an earlier run.
        is_stopped: whether no other input is to be begun.

    Raises:
        OSError: an output can't be written, as on a full disk.
    """
    manifest, counts = Manifest(job.folder), Counts()
    names = Names({row.input: row.name for row in manifest.rows.values()})

    def left() -> Iterator[Work]:
        for item in items:
            if is_stopped():
                return
            name = names.of(item)
            if manifest.is_done(item.input, item.state(), job.key):
                counts.skipped += 1
                tell(None, "")
            else:
                yield item, name

    try:
        for row in rows_of(left(), job):
            counts.failed += row.error is not None
            counts.segmented += row.error is None
            tell(row, manifest.add(row))
    finally:
        manifest.close()
    return counts


def failure(work: Work, job: Job, error: Exception) -> Row:
    """The row of an input that failed by its own fault."""
    item, name = work
    return Row(item.input, name, item.state(), job.key, job.model, error=str(error))
