"""Opens what a trainer is given: data sets, classes and the model to start from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from modelscope_vitadapter.errors import TrainingError
from modelscope_vitadapter.labelled.opening import open_labelled
from modelscope_vitadapter.labelled.samples import LabelledPictures
from modelscope_vitadapter.labelled.scan import check_labelled
from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.model_config import load_model_config
from modelscope_vitadapter.training.processes import first_process_does
from modelscope_vitadapter.training.start.config import Palette
from modelscope_vitadapter.training.start.directory import StartPoint, prepare_start

START_FOLDER = "start"
"""Where the model that training starts from lies in the run's directory, if it had to be made."""

logger = get_logger()


@dataclass(frozen=True)
class RunInputs:
    """What is trained, and on what.

    Attributes:
        model_dir: directory in the hub's layout, with the classes that are learned.
        training: data set for training, or None.
        evaluation: data set for evaluation, or None.
        num_classes: number of classes, K.
    """

    model_dir: Path
    training: LabelledPictures | None
    evaluation: LabelledPictures | None
    num_classes: int


def open_inputs(
    model_dir: Path,
    work_dir: Path,
    *,
    train_dataset: Any,
    eval_dataset: Any,
    data_options: dict[str, Any],
    from_scratch: bool,
    beit: Path | None,
    classes: Sequence[str] | None,
    palette: Palette | None,
    check_data: bool,
    seed: int,
    trust_remote_code: bool,
) -> RunInputs:
    """Opens data sets, checks every file of them, and makes the model directory to start from.

    Args:
        model_dir: directory with the network's `mmcv_config.py`.
        work_dir: the run's directory.
        train_dataset: whatever `open_labelled` takes, or None.
        eval_dataset: the same.
        data_options: arguments of `open_labelled` but for `split`.
        from_scratch: don't take the weights of `model_dir`.
        beit: see `StartPoint`.
        classes: names by id; those of the training data if None, then those of the model.
        palette: see `StartPoint`.
        check_data: read all label maps and the sizes of all pictures before training starts.
        seed: of weights that start fresh.
        trust_remote_code: see `load_model_config`.

    Raises:
        DataSetError: a data set can't be used; its message lists files.
        ConfigError, CheckpointError, TrainingError: see `prepare_start`.
    """
    training = _opened(train_dataset, "train", data_options)
    evaluation = _opened(eval_dataset, "val", data_options)
    if classes is None and training is not None:
        classes = getattr(training, "classes", None)

    def start() -> str:
        point = StartPoint(
            model_dir=model_dir,
            use_weights=not from_scratch,
            beit=beit,
            classes=classes,
            palette=palette,
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            target = work_dir / START_FOLDER
            return str(prepare_start(point, target, trust_remote_code=trust_remote_code))

    started = Path(first_process_does(start))
    names = load_model_config(started, trust_remote_code=trust_remote_code).classes
    if check_data:
        for pictures in (training, evaluation):
            if pictures is not None:
                first_process_does(_checking(pictures, len(names)))
    return RunInputs(started, training, evaluation, len(names))


def _opened(source: Any, split: str, options: dict[str, Any]) -> LabelledPictures | None:
    """A data set; of a folder its part `split`."""
    if source is None:
        return None
    is_folder = isinstance(source, (str, Path))
    return open_labelled(source, split=split if is_folder else None, **options)


def _checking(pictures: LabelledPictures, num_classes: int) -> Callable[[], None]:
    return lambda: check_labelled(pictures, num_classes)


def require(pictures: LabelledPictures | None, purpose: str) -> LabelledPictures:
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
