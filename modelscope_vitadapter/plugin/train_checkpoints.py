"""Writes and reads checkpoints of a training run, from which it goes on exactly.

ModelScope's own (1.40.2) write over the old file, save numpy's random state in a form that its
weights-only reading refuses, and go on with another learning rate than they had.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.checkpoint.model_directory import CHECKPOINT_NAMES
from modelscope_vitadapter.checkpoint.save import save_state_dict, written_aside
from modelscope_vitadapter.errors import CheckpointError, CheckpointNotFoundError
from modelscope_vitadapter.network.build import build_network
from modelscope_vitadapter.training.train_config import checkpoint_files

WEIGHTS_NAME, RESULT_NAME = CHECKPOINT_NAMES[0], "eval_result.txt"
"""A trained model's weights, where the built-in model looks for them too, and the last metrics
beside it, where ModelScope's trainers write them."""


def save_checkpoint(trainer: Any, checkpoint: Path, output: Path) -> None:
    """Writes weights, and then what else is needed to go on, each file aside before it is renamed.

    After a step, which `trainer.iter` doesn't count yet. `output` becomes a directory in the hub's
    layout, with a link to the weights, or, on file systems without links, a copy.
    """
    weights, state = checkpoint_files(checkpoint)
    save_state_dict(trainer.model.model.state_dict(), weights)
    content = {name: part.state_dict() for name, part in _parts(trainer).items()}
    content |= {"run": trainer.identity(), "steps": trainer.iter + 1}
    with written_aside(state) as aside, aside.open("wb") as file:
        torch.save(content, file)
    trainer.model.save_pretrained(output, WEIGHTS_NAME, save_function=lambda *_: None)
    with written_aside(output / WEIGHTS_NAME) as aside:
        try:
            os.link(weights, aside)
        except OSError:
            shutil.copyfile(weights, aside)
    (output / RESULT_NAME).write_text(json.dumps(trainer.metric_values), encoding="utf-8")


def load_checkpoint(trainer: Any, checkpoint: Path) -> None:
    """Has a trainer, which has all that takes steps, go on with a run.

    Raises:
        CheckpointError: a file is missing, damaged, or of another run; nothing is changed then.
    """
    state = checkpoint_files(checkpoint)[1]
    content = _read(state)
    if "steps" not in content:
        raise CheckpointError(
            f"'{state}' is no training state of this version: go on with the version that wrote "
            "it, or begin a run with its weights' directory (output) as the model."
        )
    before = content["run"]
    changed = [
        f"{name} was {before.get(name)!r} and is {value!r}"
        for name, value in trainer.identity().items()
        if before.get(name) != value
    ]
    if changed:
        raise CheckpointError(
            f"'{state}' is of a run with other options: {'; '.join(changed)}. Give the options of "
            "that run to go on with it, or begin another with its weights as the model."
        )
    load_weights(trainer, checkpoint)
    for name, part in _parts(trainer).items():
        if content.get(name):  # it may be a new hook, or another precision
            part.load_state_dict(content[name])
    trainer._iter = content["steps"]


def load_weights(trainer: Any, checkpoint: Path) -> None:
    """Copies a checkpoint's weights into the model's own tensors; raises CheckpointError."""
    with torch.device("meta"):
        stored = build_network(trainer.model.segmenter.config.settings)
    load_into(stored, checkpoint_files(checkpoint)[0])
    trainer.model.model.load_state_dict(stored.state_dict())


def _parts(trainer: Any) -> dict[str, Any]:
    """What has a state, by name."""
    step = trainer.stepping
    hooks = {type(hook).__qualname__: hook for hook in trainer.hooks}
    return {"optimizer": step.optimizer, "schedule": step.schedule, "scaler": step.scaler, **hooks}


def _read(path: Path) -> dict[str, Any]:
    """A file's plain data and tensors; nothing in it is executed."""
    if not path.is_file():
        raise CheckpointNotFoundError(
            f"There is no '{path}': expected the weights of a training run beside its state. To "
            "start from weights alone, give their directory as the model."
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes raise whatever they lead to
        raise CheckpointError(
            f"'{path}' is damaged, or no training state of this version ({type(error).__name__}). "
            "Resume from an earlier checkpoint, or begin a run with its weights' directory "
            "(output) as the model."
        ) from error
    return content if isinstance(content, dict) else {}
