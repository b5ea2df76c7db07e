"""The one function from a model and a data set to figures."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

from modelscope_vitadapter.datasets.opening import open_labelled
from modelscope_vitadapter.datasets.samples import LabelledPictures, classes_of, identity_of
from modelscope_vitadapter.datasets.scan import check_labelled
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.evaluation.measuring import Progress, measure
from modelscope_vitadapter.evaluation.models import EvaluatedModel, opened_model
from modelscope_vitadapter.evaluation.processes import Processes, joined_processes
from modelscope_vitadapter.evaluation.progress_bar import ProgressBar
from modelscope_vitadapter.evaluation.published import published_figures
from modelscope_vitadapter.evaluation.result import Evaluation
from modelscope_vitadapter.evaluation.saved_counts import SavedCounts
from modelscope_vitadapter.logs import get_logger

logger = get_logger()

DATA_OPTIONS = {"split", "label_ids", "classes", "image_column", "label_column", "skip_missing"}
"""Options that are `open_labelled`'s."""


def evaluate(
    model: Any,
    data: Any,
    *,
    limit: int | None = None,
    check: bool = False,
    state: str | os.PathLike[str] | None = None,
    progress: bool | Progress = True,
    device: str | None = None,
    **options: Any,
) -> Evaluation:
    """Measure a model on a labelled data set.

    Started by `torchrun`, the processes share the pictures, and each returns the whole result.

    Args:
        model: Id, directory, model object or pipeline.
        data: Anything that `labelled.opening.open_labelled` takes: a folder, two folders, a list
            of pairs, an `MsDataset`, a Hugging Face data set.
        limit: Only the first so many pictures.
        check: Look through the whole data set first, so that all problems are known before the
            model runs. Without it the first one ends the evaluation.
        state: File to save the counts to, about twice a minute and when the evaluation ends before
            its time. Where it is there already, the evaluation goes on from it. It is removed when
            the evaluation is complete.
        progress: Whether to show a bar; or a function, see `measuring.Progress`.
        device: As of `pipeline()`.
        **options: `split`, `label_ids`, `image_column`, `label_column`, `skip_missing` and
            `classes` are of `open_labelled`; others, such as `torch_dtype`, are for `pipeline()`,
            where `model` is no pipeline.

    Returns:
        The result; `table.format_table` and `plot.write_plot` show it.

    Raises:
        DataSetError: The data set can't be used; the message names the file.
        ConfigError, CheckpointError: The model can't be used.
    """
    of_data = {name: options.pop(name) for name in DATA_OPTIONS if name in options}
    pictures = open_labelled(data, **of_data)
    count = _count(pictures, limit)
    with joined_processes(device) as processes, ExitStack() as stack:
        with processes.first_before_others():  # the model may have to be downloaded
            opened = stack.enter_context(opened_model(model, device=device, **options))
        _check_classes(classes_of(pictures), opened.classes)
        if check and processes.is_first:
            check_labelled(pictures, len(opened.classes))
        return _measured(opened, pictures, count, state, progress, processes)


def _measured(
    model: EvaluatedModel,
    pictures: LabelledPictures,
    count: int,
    state: str | os.PathLike[str] | None,
    progress: bool | Progress,
    processes: Processes,
) -> Evaluation:
    saved = None
    if state is not None:
        identity = f"{identity_of(pictures)}, the first {count}; {model.identity}"
        saved = SavedCounts(Path(state), identity)
    started = time.monotonic()
    with ProgressBar(processes) if progress is True else nullcontext(progress or None) as told:
        matrix = measure(
            model.segment,
            pictures,
            len(model.classes),
            indices=range(count),
            saved=saved,
            progress=told,
            processes=processes,
        )
    if saved is not None and processes.is_first:
        saved.remove()
    return Evaluation(
        model=model.name,
        data=str(getattr(pictures, "name", type(pictures).__name__)),
        pictures=count,
        classes=model.classes,
        counts=matrix.counts,
        seconds=time.monotonic() - started,
        settings={**model.settings, "processes": str(processes.count)},
        published=published_figures(model.name, model.classes),
    )


def _count(pictures: LabelledPictures, limit: int | None) -> int:
    total = len(pictures)
    if total == 0:
        raise DataSetError("the data set is empty: expected at least one picture with a label map")
    if limit is not None and limit < 1:
        raise DataSetError(f"limit={limit}: expected at least 1 picture")
    return total if limit is None else min(limit, total)


def _check_classes(data: Sequence[str] | None, model: Sequence[str]) -> None:
    """Compare the classes that a data set names with the model's.

    Raises:
        DataSetError: There are more or fewer, or the same in another order: every figure would be
            wrong.
    """
    if data is None:
        return
    if len(data) != len(model):
        raise DataSetError(
            f"the data set names {len(data)} classes, the model has {len(model)}: give the data "
            "set that the model is for, or another model"
        )
    others = [k for k in range(len(data)) if _plain(data[k]) != _plain(model[k])]
    if others and sorted(map(_plain, data)) == sorted(map(_plain, model)):
        raise DataSetError(
            f"the data set has the model's classes in another order: class {others[0]} is "
            f"{data[others[0]]!r} there and {model[others[0]]!r} in the model; translate the ids, "
            "for example with label_ids=LabelIds(mapping=...)"
        )
    if others:
        logger.warning(
            "%d of %d classes have other names in the data set than in the model; the first is "
            "class %d, %r and %r",
            *(len(others), len(data), others[0], data[others[0]], model[others[0]]),
        )


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
