"""Opens what a trainer is given: data sets, classes and the model to start from."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from modelscope.utils.device import create_device

from modelscope_vitadapter.config.model_config import load_model_config
from modelscope_vitadapter.datasets.checks import check_dataset
from modelscope_vitadapter.datasets.dataset import SegmentationDataset
from modelscope_vitadapter.datasets.open_dataset import has_splits, open_dataset
from modelscope_vitadapter.distributed import first_process_does, own_device_name
from modelscope_vitadapter.errors import DataSetNotFoundError, TrainingError
from modelscope_vitadapter.training.start.config import Palette
from modelscope_vitadapter.training.start.directory import StartPoint, prepare_start

START_FOLDER = "start"
"""Where the model that training starts from lies in the run's directory, if it had to be made."""


@dataclass(frozen=True)
class RunInputs:
    """What is trained, and on what.

    Attributes:
        model_dir: directory in the hub's layout, with the classes that are learned.
        training: data set for training, or None.
        evaluation: data set for evaluation, or None.
    """

    model_dir: Path
    training: SegmentationDataset | None
    evaluation: SegmentationDataset | None


@dataclass(frozen=True)
class InputOptions:
    """What `open_inputs` is asked for.

    Attributes:
        train_dataset: whatever `open_dataset` takes, or None.
        eval_dataset: the same.
        train_split: which part of a folder, or of tables by split, is trained on.
        eval_split: the same for evaluation.
        data_options: arguments of `open_dataset` but for `split`.
        from_scratch: don't take the weights of the model's directory.
        beit: see `StartPoint`.
        classes: names by id; those of the training data if None, then those of the model.
        palette: see `StartPoint`.
        crop: see `StartPoint`.
        check_data: read all pictures and label maps before training starts.
        seed: of weights that start fresh.
        trust_remote_code: see `load_model_config`.
    """

    train_dataset: Any
    eval_dataset: Any
    train_split: str | None
    eval_split: str | None
    data_options: Mapping[str, Any]
    from_scratch: bool
    beit: str | os.PathLike[str] | None
    classes: Sequence[str] | None
    palette: Palette | None
    crop: int | None
    check_data: bool
    seed: int
    trust_remote_code: bool


def open_inputs(model_dir: Path, work_dir: Path, options: InputOptions) -> RunInputs:
    """Opens data sets, checks every file of them, and makes the model directory to start from.

    Args:
        model_dir: directory with the network's `mmcv_config.py`.
        work_dir: the run's directory.
        options: what else was asked for.

    Raises:
        DataSetError: a data set can't be used; its message lists files.
        ConfigError, CheckpointError, TrainingError: see `prepare_start`.
    """
    training = _opened(options.train_dataset, options.train_split, options.data_options)
    try:
        evaluation = _opened(options.eval_dataset, options.eval_split, options.data_options)
    except DataSetNotFoundError as error:
        raise DataSetNotFoundError(
            f"{error}. To train without evaluation give no eval_dataset (--no-evaluation)"
        ) from error
    classes = options.classes
    if classes is None and training is not None:
        classes = getattr(training, "classes", None)
    point = StartPoint(
        model_dir=model_dir,
        use_weights=not options.from_scratch,
        beit=None if options.beit is None else Path(options.beit),
        classes=classes,
        palette=options.palette,
        crop=options.crop,
    )
    trust = options.trust_remote_code

    def start() -> str:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            return str(prepare_start(point, work_dir / START_FOLDER, trust_remote_code=trust))

    started = Path(first_process_does(start))
    if options.check_data:
        names = load_model_config(started, trust_remote_code=trust).classes
        for pictures in (training, evaluation):
            if pictures is not None:
                first_process_does(partial(check_dataset, pictures, len(names)))
    return RunInputs(started, training, evaluation)


def own_device(name: str) -> torch.device:
    """The device of this process, see `own_device_name`.

    Raises:
        ValueError: ModelScope trains on no such device.
    """
    try:
        device: torch.device = create_device(
            own_device_name(name, has_cuda=torch.cuda.is_available())
        )
    except AssertionError as error:
        raise ValueError(f"device is {name!r}: expected 'gpu', 'cpu' or 'cuda:N'") from error
    return device


def _opened(
    source: Any, split: str | None, options: Mapping[str, Any]
) -> SegmentationDataset | None:
    """A data set; of what has parts, the part `split`, or, where that is empty, all of it."""
    if source is None:
        return None
    part = (split or None) if has_splits(source) else None
    return open_dataset(source, split=part, **options)


def require(pictures: SegmentationDataset | None, purpose: str) -> SegmentationDataset:
    """A data set that has to be there.

    Raises:
        TrainingError: it is not.
    """
    if pictures is None:
        raise TrainingError(
            f"there is no data set for {purpose}: give the trainer `train_dataset` for training "
            "and `eval_dataset` for evaluation"
        )
    return pictures
