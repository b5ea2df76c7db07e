"""Checkpoints of a training run, from which it goes on exactly.

ModelScope's own hooks decide when; what is written and read is decided here. ModelScope 1.40.2
writes over the old file, saves numpy's random state in a form that its own weights-only reading
refuses, and goes on with another learning rate than it had.
"""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from modelscope.trainers.hooks.checkpoint.checkpoint_processor import CheckpointProcessor
from modelscope.trainers.hooks.checkpoint.load_checkpoint_hook import LoadCheckpointHook

from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.checkpoint.model_directory import CHECKPOINT_NAMES
from modelscope_vitadapter.checkpoint.names import hub_state_dict
from modelscope_vitadapter.checkpoint.save import save_state_dict, written_aside
from modelscope_vitadapter.errors import CheckpointError, CheckpointNotFoundError

WEIGHTS_NAME = CHECKPOINT_NAMES[0]
"""What the weights of a trained model are called: the built-in model reads that name too."""


class ExactCheckpointProcessor(CheckpointProcessor):  # type: ignore[misc]  # untyped
    """Writes each file aside and renames it; reads plain data only."""

    def prepare_output(self, trainer: Any, output_dir: str) -> None:
        """Puts everything but weights into a directory in the hub's layout."""
        trainer.model.save_pretrained(
            output_dir, WEIGHTS_NAME, save_function=lambda *args, **kwargs: None
        )

    def save_checkpoints(
        self,
        trainer: Any,
        checkpoint_path_prefix: str,
        output_dir: str,
        meta: dict[str, Any] | None = None,
        save_optimizers: bool = True,
    ) -> None:
        """Writes the weights, and what else is needed to go on, the latter last.

        The weights are put into `output_dir` too, as a link where the file system has links.
        """
        weights, state = (Path(name) for name in self._get_state_file_name(checkpoint_path_prefix))
        save_state_dict(hub_state_dict(trainer.model.state_dict()), weights)
        content: dict[str, Any] = {"meta": meta or {}, "run": trainer.identity()}
        if save_optimizers:
            content["optimizer"] = trainer.optimizer.state_dict()
            content["lr_scheduler"] = trainer.lr_scheduler.state_dict()
        with written_aside(state) as aside, aside.open("wb") as file:
            torch.save(content, file)
        _publish(weights, Path(output_dir) / WEIGHTS_NAME)

    def load_checkpoints(
        self, checkpoint_path_prefix: str, trainer: Any, load_all_state: bool, strict: bool
    ) -> dict[str, Any]:
        """Reads them back; `strict` has no effect: all weights must be there.

        Raises:
            CheckpointError: a file is missing, damaged, or of another run.
        """
        weights, state = (Path(name) for name in self._get_state_file_name(checkpoint_path_prefix))
        if not load_all_state:
            load_in_place(trainer.model, weights)
            return {}
        content = read_state(state)
        _check_same_run(content.get("run", {}), trainer.identity(), state)
        load_in_place(trainer.model, weights)
        try:
            trainer.optimizer.load_state_dict(content["optimizer"])
            trainer.lr_scheduler.load_state_dict(content["lr_scheduler"])
            meta: dict[str, Any] = content["meta"]
        except (KeyError, ValueError) as error:
            raise CheckpointError(
                f"'{state}' does not fit this run: {error}. Resume with the options (frozen "
                "parts, recipe) of the run that wrote it."
            ) from error
        return meta


class ExactLoadHook(LoadCheckpointHook):  # type: ignore[misc]  # ModelScope is untyped
    """ModelScope's hook that loads a checkpoint, with the reading done above."""

    def __init__(self) -> None:
        super().__init__()
        self.processor = ExactCheckpointProcessor()
        self.need_load_rng_state = False

    def before_train_iter(self, trainer: Any) -> None:
        """Puts the processor's random state back, once.

        A run depends on it only through dropout inside of attention. Those of GPUs are left: there
        may be others than when they were saved.
        """
        if self.need_load_rng_state and self.rng_state is not None:
            torch.random.set_rng_state(self.rng_state["cpu"])
        self.need_load_rng_state = False

    @staticmethod
    def _restore_training_state(trainer: Any, meta: dict[str, Any]) -> None:
        """Puts counters and the states of hooks back.

        ModelScope names states by class and place in the list of hooks, and loses those of all
        hooks behind one that was not there before; here the class decides.
        """
        for counter in ("epoch", "iter", "inner_iter"):
            setattr(trainer, f"_{counter}", meta[counter])
        states = {name.rsplit("-", 1)[0]: value for name, value in meta.items()}
        for hook in trainer.hooks:
            state = states.get(str(type(hook)))
            if state:
                hook.load_state_dict(state)


def read_state(path: Path) -> dict[str, Any]:
    """Reads the part of a checkpoint that is not weights.

    Raises:
        CheckpointNotFoundError: there is no such file.
        CheckpointError: it can't be read, or holds other things than plain data.
    """
    if not path.is_file():
        raise CheckpointNotFoundError(
            f"There is no '{path}': expected the state of a training run, which lies beside its "
            "weights. To start from weights alone, give them as the model."
        )
    array = np.zeros(1, np.uint32)  # as in the state of numpy's global generator
    allowed: list[Any] = [np.ndarray, np.dtype, type(array.dtype), array.__reduce__()[0]]
    try:
        with torch.serialization.safe_globals(allowed):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(
            f"The training state '{path}' can't be read: {error}. Resume from an earlier one."
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"'{path}' is no training state: it holds a {type(content).__name__}")
    return content


@torch.no_grad()
def load_in_place(model: Any, path: Path) -> None:
    """Fills a model's own tensors, which its optimiser refers to, from a checkpoint.

    Raises:
        CheckpointError: as `checkpoint.load.load_into`.
    """
    network: torch.nn.Module = model.model
    held = dict(network.state_dict(keep_vars=True))
    load_into(network, path)
    loaded = network.state_dict()
    for name, tensor in held.items():
        tensor.copy_(loaded[name])
    _put_back(network, held)


def _put_back(network: torch.nn.Module, held: dict[str, Any]) -> None:
    for name, tensor in held.items():
        module_name, _, attribute = name.rpartition(".")
        setattr(network.get_submodule(module_name), attribute, tensor)


def _check_same_run(before: dict[str, Any], now: dict[str, Any], path: Path) -> None:
    """Raises where a run would go on as another one than it was."""
    changed = [
        f"{name} was {before[name]!r} and is {now[name]!r}"
        for name in now
        if name in before and before[name] != now[name]
    ]
    if changed:
        raise CheckpointError(
            f"'{path}' is of a run with other options: {'; '.join(changed)}. Give the options of "
            "that run to go on with it, or begin another with its weights as the model."
        )


def _publish(source: Path, target: Path) -> None:
    """Shows a file under another name, at once and as a whole."""
    with written_aside(target) as aside:
        try:
            os.link(source, aside)
        except OSError:
            shutil.copyfile(source, aside)


PERIODIC, BEST = re.compile(r"iter_(\d+)"), re.compile(r"best_iter(\d+)_.+")
"""Names of checkpoints, with their step."""


def latest_checkpoint(work_dir: Path) -> Path | None:
    """The checkpoint of the furthest step in a run's directory, as `train` takes it, or None."""
    return next(reversed(saved_checkpoints(work_dir, PERIODIC)), None)


def saved_checkpoints(folder: Path, names: re.Pattern[str]) -> list[Path]:
    """The checkpoints in a run's directory, as `train` takes them, in order of their steps.

    Args:
        folder: the directory.
        names: `PERIODIC` or `BEST`; copies under other names are not a run's.
    """
    ending = CheckpointProcessor.TRAINER_STATE_SUFFIX
    found = []
    for state in folder.glob(f"*{ending}"):
        prefix = state.name.removesuffix(ending)
        step = names.fullmatch(prefix)
        if step and (folder / f"{prefix}{CheckpointProcessor.MODEL_STATE_SUFFIX}").is_file():
            found.append((int(step[1]), folder / prefix))
    return [path for _, path in sorted(found)]
