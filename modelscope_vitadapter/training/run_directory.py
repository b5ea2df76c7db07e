"""The checkpoints in a run's directory: `NAME.pth`, the weights, and `NAME_trainer_state.pth`."""

import re
from pathlib import Path

WEIGHTS_SUFFIX, STATE_SUFFIX = ".pth", "_trainer_state.pth"

PERIODIC, BEST = re.compile(r"iter_(\d+)"), re.compile(r"best_iter(\d+)_.+")
"""Names of checkpoints, with the number of steps that had been taken."""


def checkpoint_files(checkpoint: Path) -> tuple[Path, Path]:
    """The files of a checkpoint, weights and training state; its suffix may be left out."""
    name = checkpoint.name.removesuffix(WEIGHTS_SUFFIX)
    return checkpoint.with_name(name + WEIGHTS_SUFFIX), checkpoint.with_name(name + STATE_SUFFIX)


def saved_checkpoints(folder: Path, names: re.Pattern[str]) -> list[tuple[int, Path]]:
    """The whole checkpoints in a run's directory, by their number of steps, ascending.

    Args:
        folder: the directory.
        names: `PERIODIC` or `BEST`; copies under other names are not a run's.
    """
    found = []
    for state in folder.glob(f"*{STATE_SUFFIX}"):
        checkpoint = folder / state.name.removesuffix(STATE_SUFFIX)
        steps = names.fullmatch(checkpoint.name)
        if steps and checkpoint_files(checkpoint)[0].is_file():
            found.append((int(steps[1]), checkpoint))
    return sorted(found)


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the furthest step, as the trainer's `train` takes it, or None."""
    saved = saved_checkpoints(folder, PERIODIC)
    return saved[-1][1] if saved else None
