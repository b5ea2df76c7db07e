"""Writes a model as a directory in the hub's layout."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from modelscope_vitadapter.checkpoint.directory import (
    DEFAULT_CHECKPOINT_NAME,
    save_model_directory,
    save_model_files,
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
    write_configuration: Callable[[Path], None] | None,
) -> None:
    """Writes a model directory, whole or not at all.

    With a `save_function`, only each file but the checkpoint is whole or not there: what the
    function writes, and when it is complete, is its own affair.

    Args:
        model: the model.
        target: directory to write.
        names: name of the checkpoint, or a list whose first is taken; `model.safetensors` if None.
        save_function: writes the checkpoint as `save_function(model, path, **function_options)` in
            our place, under whatever name was asked for.
        function_options: for `save_function`.
        write_configuration: writes `configuration.json` into the folder that it is given; None
            leaves that file to the caller.

    Raises:
        CheckpointError: for a name that is not looked for when a model is loaded, or where the
            directory cannot be written.
    """
    name = names if isinstance(names, str) else next(iter(names or ()), DEFAULT_CHECKPOINT_NAME)
    source = Path(model.model_dir)
    if save_function is None:
        save_model_directory(
            model.state_dict(),
            source,
            target,
            checkpoint_name=name,
            write_configuration=write_configuration,
        )
    else:
        save_model_files(source, target, write_configuration=write_configuration)
        save_function(model, str(target / name), **function_options)
