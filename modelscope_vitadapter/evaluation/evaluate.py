"""The one function from a model and a dataset to metrics."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelscope_vitadapter.datasets.checks import check_dataset
from modelscope_vitadapter.datasets.dataset import (
    EMPTY,
    SegmentationDataset,
    classes_of,
    identity_of,
)
from modelscope_vitadapter.datasets.open_dataset import open_dataset
from modelscope_vitadapter.distributed import (
    first_process_does,
    joined_processes,
    process_count,
    process_index,
    runs_on_cpu,
)
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.evaluation.evaluator import confusion_matrix
from modelscope_vitadapter.evaluation.models import model_identity, opened_segmenter
from modelscope_vitadapter.evaluation.result import Evaluation, published_metrics
from modelscope_vitadapter.evaluation.resume import SavedCounts
from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.segmenter import Segmenter

DATA_OPTIONS = {"split", "label_ids", "classes", "image_column", "label_column", "skip_missing"}
"""Options that are `open_dataset`'s."""

logger = get_logger()


def evaluate(
    model: Any,
    data: Any,
    *,
    limit: int | None = None,
    check: bool = False,
    state: str | os.PathLike[str] | None = None,
    progress: bool = True,
    device: str | None = None,
    **options: Any,
) -> Evaluation:
    """Measures a model on a dataset.

    Started by `torchrun`, the processes share the images, and each returns the whole result.

    Args:
        model: id, directory, `Segmenter`, model object or pipeline.
        data: anything that `datasets.open_dataset` takes: a folder, two folders, a list of pairs,
            an `MsDataset`, a Hugging Face dataset.
        limit: only the first so many images.
        check: look through the whole dataset first, so that all problems are known before the
            model runs. Without it the first one ends the evaluation.
        state: file to save the counts to, about twice a minute and when the evaluation ends before
            its time. Where it is there already, the evaluation goes on from it. It is removed when
            the evaluation is complete.
        progress: whether to show a bar.
        device: as of `pipeline()`; of an object by default where it is.
        **options: `split`, `label_ids`, `image_column`, `label_column`, `skip_missing` and
            `classes` are of `open_dataset`; `torch_dtype`, `adapter_form`, `window_batch_size` and
            `trust_remote_code`, where `model` is an id or a directory, are of `Segmenter.load`.

    Returns:
        The result; `result.format_table` and `plot.write_plot` show it.

    Raises:
        DataSetError: the dataset can't be used; the message names the file.
        ConfigError, CheckpointError: the model can't be used.
    """
    of_data = {name: options.pop(name) for name in DATA_OPTIONS if name in options}
    dataset = open_dataset(data, **of_data)
    total = len(dataset)
    if total == 0:
        raise DataSetError(EMPTY)
    if limit is not None and limit < 1:
        raise DataSetError(f"limit={limit}: expected at least 1 image")
    count = min(total, limit or total)
    with (
        joined_processes(on_gpu=not runs_on_cpu(device)),
        opened_segmenter(model, device=device, **options) as segmenter,
    ):
        classes = segmenter.config.classes
        _check_classes(classes_of(dataset), classes)
        if check:
            first_process_does(lambda: check_dataset(dataset, len(classes)))
        saved = None
        if state is not None:
            of_model = model_identity(segmenter, options.get("adapter_form"))
            identity = f"{identity_of(dataset)}, the first {count}; {of_model}"
            saved = SavedCounts(Path(state), identity)
        return _measured(segmenter, _name(model), dataset, count, saved, progress)


def _measured(
    segmenter: Segmenter,
    name: str,
    dataset: SegmentationDataset,
    count: int,
    saved: SavedCounts | None,
    progress: bool,
) -> Evaluation:
    classes, started = tuple(segmenter.config.classes), time.monotonic()
    matrix = confusion_matrix(
        lambda images: (one.class_map.cpu().numpy() for one in segmenter.segment(images)),
        dataset,
        len(classes),
        limit=count,
        saved=saved,
        progress=progress,
    )
    if saved is not None and process_index() == 0:
        saved.remove()
    return Evaluation(
        model=name,
        data=str(getattr(dataset, "name", type(dataset).__name__)),
        pictures=count,
        classes=classes,
        counts=matrix.counts,
        seconds=time.monotonic() - started,
        settings={
            "device": segmenter.device.type,
            "torch_dtype": str(segmenter.dtype).split(".")[-1],
            "processes": str(process_count()),
        },
        published=published_metrics(name, classes),
    )


def _name(model: Any) -> str:
    """A model's id or directory; of an object that knows none its type."""
    if isinstance(model, str | os.PathLike):
        return os.fspath(model)
    owner = getattr(model, "model", model)  # of a pipeline
    return str(getattr(owner, "model_dir", "")) or type(model).__name__


def _check_classes(data: Sequence[str] | None, model: Sequence[str]) -> None:
    """Compares the classes that a dataset names with the model's.

    Raises:
        DataSetError: there are more or fewer, or the same in another order: every metric would be
            wrong.
    """
    if data is None:
        return
    if len(data) != len(model):
        raise DataSetError(
            f"the dataset names {len(data)} classes, the model has {len(model)}: give the dataset "
            "that the model is for, or another model"
        )
    others = [k for k in range(len(data)) if _plain(data[k]) != _plain(model[k])]
    if others and sorted(map(_plain, data)) == sorted(map(_plain, model)):
        raise DataSetError(
            f"the dataset has the model's classes in another order: class {others[0]} is "
            f"{data[others[0]]!r} there and {model[others[0]]!r} in the model; translate the ids, "
            "for example with label_ids=LabelIds(mapping=...)"
        )
    if others:
        logger.warning(
            "%d of %d classes have other names in the dataset than in the model; the first is "
            "class %d, %r and %r",
            *(len(others), len(data), others[0], data[others[0]], model[others[0]]),
        )


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
