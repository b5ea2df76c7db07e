"""Arguments of the trainer: which there are, and what they mean in this process."""

from collections.abc import Mapping
from typing import Any

import torch
from modelscope.utils.device import create_device

from modelscope_vitadapter.datasets.dataset import SegmentationDataset
from modelscope_vitadapter.datasets.open_dataset import has_splits, open_dataset
from modelscope_vitadapter.datasets.options import DATA_OPTIONS
from modelscope_vitadapter.distributed import own_device_name, process_count
from modelscope_vitadapter.errors import DataSetNotFoundError
from modelscope_vitadapter.hints import either
from modelscope_vitadapter.training.train_config import TrainConfig

HANDED_ON = ("callbacks", "cfg_modify_fn", "cfg_options", "arg_parse_fn")
WITHOUT_EFFECT = ("launcher", "cfg_file", "third_party")
"""Arguments that `EpochBasedTrainer` takes; the latter are told by torchrun or used already."""

OWN_OPTIONS = sorted(DATA_OPTIONS - {"classes"})
"""Arguments that are `open_dataset`'s; the trainer has its own classes."""


def dataset_options(given: Mapping[str, Any], keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Options of `open_dataset`: those given as `data_options`, and those among the keywords.

    Raises:
        TypeError: a keyword is neither these nor handed on, or an option is given in both ways.
    """
    unknown = [name for name in keywords if name not in (*HANDED_ON, *WITHOUT_EFFECT, *OWN_OPTIONS)]
    if unknown:
        raise TypeError(
            f"the trainer takes no {unknown[0]!r}: expected its own arguments, one of "
            f"{', '.join(OWN_OPTIONS)}, or {', '.join(HANDED_ON)}. Rates and the like are fields "
            "of `recipe`, intervals and workers of `run`"
        )
    options = {name: keywords[name] for name in OWN_OPTIONS if name in keywords}
    twice = [name for name in options if name in given]
    if twice:
        raise TypeError(f"{twice[0]} is given twice: expected it as keyword or in data_options")
    return {**given, **options}


def own_device(name: str) -> torch.device:
    """The device of this process, see `own_device_name`."""
    try:
        device: torch.device = create_device(own_device_name(name))
    except AssertionError as error:
        raise ValueError(f"device is {name!r}: expected 'gpu', 'cpu' or 'cuda:N'") from error
    return device


def check_divisible(config: TrainConfig) -> None:
    """Raises ValueError where a batch can't be divided among processes and parts."""
    parts = process_count() * config.accumulation
    if config.batch_size % parts:
        raise ValueError(
            f"batch_size is {config.batch_size}: expected a multiple of {parts}, the number of "
            f"processes ({process_count()}) times accumulation ({config.accumulation})"
        )


def opened(
    source: Any, split: str | None, options: Mapping[str, Any], *, for_evaluation: bool = False
) -> SegmentationDataset | None:
    """A dataset; of what has parts, the part `split`, or, where that is empty, all of it."""
    if source is None:
        return None
    part = (split or None) if has_splits(source, **options) else None
    try:
        return open_dataset(source, split=part, **options)
    except DataSetNotFoundError as error:
        how = either("eval_dataset=None", "--no-evaluation")
        hint = f". To train without evaluation: {how}"
        raise DataSetNotFoundError(f"{error}{hint if for_evaluation else ''}") from error
