"""The one function from a model, in any form, and a dataset to metrics."""

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.datasets.check import check_dataset, warn_of_odd_ids
from modelscope_vitadapter.datasets.dataset import SegmentationDataset, classes_of, identity_of
from modelscope_vitadapter.datasets.label_ids import IGNORED, UNKNOWN
from modelscope_vitadapter.datasets.open_dataset import open_dataset
from modelscope_vitadapter.datasets.options import DATA_OPTIONS
from modelscope_vitadapter.devices import arrange_network
from modelscope_vitadapter.distributed import (
    first_process_does,
    joined_processes,
    named_device,
    process_count,
    process_index,
)
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.evaluation.evaluator import confusion_matrix
from modelscope_vitadapter.evaluation.result import Evaluation, published_metrics
from modelscope_vitadapter.evaluation.resume import SavedCounts
from modelscope_vitadapter.hints import option
from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.segmenter import Segmenter, model_directory, model_identity
from modelscope_vitadapter.validation import parse_count


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

    Started by `torchrun`, the processes share the images, and each returns the whole result, which
    `result.format_table` and `write_plot` show.

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
        **options: `split` and those of `datasets.options.DataOptions` are of `open_dataset`;
            `torch_dtype`, `adapter_form`, `window_batch_size` and `trust_remote_code`, where
            `model` is an id or a directory, are of `Segmenter.load`.

    Raises:
        DataSetError: the dataset can't be used; the message names the file.
        ConfigError, CheckpointError, TypeError: the model can't be used.
    """
    of_data = {name: options.pop(name) for name in [*DATA_OPTIONS, "split"] if name in options}
    dataset = open_dataset(data, **of_data)
    if limit is not None:
        parse_count("limit", limit)
    count = min(len(dataset), limit or len(dataset))
    with (
        joined_processes(on_gpu=named_device(device or "gpu").type == "cuda"),
        opened_segmenter(model, device=device, **options) as segmenter,
    ):
        classes = segmenter.config.classes
        _check_classes(dataset, classes)
        if check:
            first_process_does(lambda: check_dataset(dataset, len(classes)))
        elif process_index() == 0:
            warn_of_odd_ids(dataset, len(classes), count)
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
    if saved is not None:
        first_process_does(saved.remove)
    if process_index() == 0:
        _warn_of_names(dataset, matrix.counts, classes)
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
        excluded=dataset.label_ids.excluded,
    )


def _warn_of_names(
    dataset: SegmentationDataset, counts: NDArray[np.int64], classes: Sequence[str]
) -> None:
    """Says that a dataset without names may have fewer classes than the model."""
    present = np.flatnonzero(counts.sum(axis=1))
    counted = [one for one in range(len(classes)) if one not in dataset.label_ids.excluded]
    if classes_of(dataset) is not None or not present.size or present[-1] >= counted[-1]:
        return
    get_logger().warning(
        "the label maps hold no class beyond id %d, so %d of them, and the model has %d: is it for "
        "other classes? The result is reported under the model's names. A file classes.txt in the "
        "dataset's folder, a name a line, has them compared",
        *(present[-1], present[-1] + 1, len(classes)),
    )


def _name(model: Any) -> str:
    """A model's id or directory; of an object that knows none its type."""
    if isinstance(model, str | os.PathLike):
        return os.fspath(model)
    owner = getattr(model, "model", model)  # of a pipeline
    return str(getattr(owner, "model_dir", "")) or type(model).__name__


def _check_classes(dataset: SegmentationDataset, model: Sequence[str]) -> None:
    """Refuses a dataset of more, fewer or reordered classes: every metric would be wrong.

    Ids that are mapped just as such an order needs it are taken for the answer to the refusal.
    """
    data, ids = classes_of(dataset), dataset.label_ids
    if data is None:
        return
    if len(data) != len(model):
        raise DataSetError(
            f"the dataset names {len(data)} classes, the model has {len(model)}: give the dataset "
            "that the model is for, or another model"
        )
    plain = [[re.sub(r"\W|_", "", name.lower()) for name in names] for names in (data, model)]
    others = [k for k in range(len(data)) if plain[0][k] != plain[1][k]]
    if others and sorted(plain[0]) == sorted(plain[1]):
        order = [plain[1].index(name) for name in plain[0]]
        mapping = ids.mapping or (*[IGNORED] * ids.first, *range(len(data)))
        if [one for one in mapping if one >= 0] == order:
            return
        known = [(one, k) for one, k in enumerate(mapping) if k != UNKNOWN]
        targets = [f"{one}:{order[k] if k >= 0 else 'ignore'}" for one, k in known]
        raise DataSetError(
            f"the dataset has the model's classes in another order: class {others[0]} is "
            f"{data[others[0]]!r} there and {model[others[0]]!r} in the model; translate the ids, "
            f"{option('label_ids', ','.join(targets))}; or, if "
            "ids are the model's already, give the names in its order"
        )
    if others:
        get_logger().warning(
            "%d of %d classes have other names in the dataset than in the model; the first is "
            "class %d, %r and %r",
            *(len(others), len(data), others[0], data[others[0]], model[others[0]]),
        )


@contextmanager
def opened_segmenter(
    model: Any, *, device: str | None = None, **options: Any
) -> Iterator[Segmenter]:
    """The segmenter of a model that `evaluate` takes, in evaluation mode for a `with` block.

    Raises:
        TypeError: it is no model of this package, or an object with an option of `Segmenter.load`.
    """
    if isinstance(model, str | os.PathLike):
        name, place = os.fspath(model), named_device(device or "gpu")
        first_process_does(lambda: str(model_directory(name)))  # one of several downloads it
        segmenter = Segmenter.load(model_directory(name), device=place, **options)
        arrange_network(segmenter.network, place)
    else:
        segmenter = model if isinstance(model, Segmenter) else _of_object(model)
        given = [name for name, value in options.items() if value]
        if given:
            raise TypeError(
                f"{given[0]}: expected only with the id or directory of a model; this "
                f"{type(model).__name__} is loaded already"
            )
        if device is not None:
            segmenter.network.to(named_device(device))
    network = segmenter.network
    was_training = network.training
    network.eval()
    try:
        yield segmenter
    finally:
        network.train(was_training)


def _of_object(model: Any) -> Segmenter:
    """The segmenter of a model object or pipeline."""
    owner = model if hasattr(model, "segmenter") else getattr(model, "model", None)
    segmenter = getattr(owner, "segmenter", None)
    if owner is None or not isinstance(segmenter, Segmenter):
        raise TypeError(
            f"{type(model).__name__} can't be evaluated: expected the id or directory of a "
            "ViT-Adapter segmentation model, a Segmenter, or a model object or pipeline of this "
            "package"
        )
    if owner is not model:
        model.prepare_model()  # a pipeline moves its model to its device before the first call
    segmenter.network = owner.model  # it may have been replaced, as by a quantised one
    return segmenter
