"""Writes a model as a directory in the hub's layout."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from modelscope_vitadapter.checkpoint.directory import (
    DEFAULT_CHECKPOINT_NAME,
    model_files,
    save_model_directory,
)


class SavableModel(Protocol):
    """What is needed of a model: its directory and its weights."""

    model_dir: str

    def state_dict(self) -> Mapping[str, Tensor]:
        """Names and tensors."""


def save_model(
    model: SavableModel,
    target: Path,
    *,
    names: str | Sequence[str] | None,
    save_function: Callable[..., None] | None,
    function_options: Mapping[str, Any],
) -> None:
    """Writes everything but `configuration.json`.

    Args:
        model: the model.
        target: directory to write.
        names: name of the checkpoint, or a list whose first is taken; `model.safetensors` if None.
        save_function: writes the checkpoint as `save_function(model, path, **function_options)` in
            our place, under whatever name was asked for.
        function_options: for `save_function`.

    Raises:
        CheckpointError: for a name that is not looked for when a model is loaded, or where the
            directory cannot be written.
    """
    name = names if isinstance(names, str) else next(iter(names or ()), DEFAULT_CHECKPOINT_NAME)
    source = Path(model.model_dir)
    if save_function is not None:
        _copy_model_files(source, target)
        save_function(model, str(target / name), **function_options)
        return
    save_model_directory(model.state_dict(), source, target, checkpoint_name=name)


def _copy_model_files(source: Path, target: Path) -> None:
    """Copies the configuration and texts of a model directory, but no weights."""
    target.mkdir(parents=True, exist_ok=True)
    if target.resolve() == source.resolve():
        return
    for relative in model_files(source):
        (target / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / relative, target / relative)
