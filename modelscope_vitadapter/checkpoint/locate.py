"""Find the checkpoint of a model directory."""

from __future__ import annotations

import os
from pathlib import Path

from modelscope_vitadapter.errors import CheckpointNotFoundError
from modelscope_vitadapter.logs import get_logger

logger = get_logger()

CHECKPOINT_NAMES = ("pytorch_model.pt", "pytorch_model.bin", "model.safetensors")
"""File names that are looked for, the preferred one first.

The built-in model reads `pytorch_model.pt` only, so that name comes first: a directory gives the
same weights in both.
"""


def find_checkpoint(model_dir: Path) -> Path:
    """Give the checkpoint file of a model directory.

    Args:
        model_dir: directory in the hub's layout.

    Returns:
        The first of `CHECKPOINT_NAMES` that exists in it. When several do, the log says which one
        is taken.

    Raises:
        CheckpointNotFoundError: `model_dir` is no directory, or holds none of the three.
    """
    model_dir = Path(model_dir)
    names = ", ".join(CHECKPOINT_NAMES)
    if not os.path.isdir(model_dir):  # noqa: PTH112  # Path.is_dir() raises where it may not look
        raise CheckpointNotFoundError(
            f"'{model_dir}' is not a directory; expected a model directory that holds one of "
            f"{names}. Check the path."
        )
    present = [name for name in CHECKPOINT_NAMES if os.path.exists(model_dir / name)]  # noqa: PTH110
    if not present:  # a link that leads nowhere: opening it says so
        present = [name for name in CHECKPOINT_NAMES if os.path.lexists(model_dir / name)]
    if not present:
        raise CheckpointNotFoundError(
            f"The model directory '{model_dir}' holds no checkpoint; expected one of {names}. "
            "Download the model again, or put its weights there under one of these names."
        )
    if len(present) > 1:
        logger.warning(
            "%s holds several checkpoints (%s); %s is read.",
            model_dir,
            ", ".join(present),
            present[0],
        )
    return model_dir / present[0]
