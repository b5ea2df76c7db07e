"""Write a model directory in the hub's layout."""

from __future__ import annotations

import filecmp
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from modelscope_vitadapter.checkpoint.keys import hub_state_dict
from modelscope_vitadapter.checkpoint.locate import CHECKPOINT_NAMES
from modelscope_vitadapter.checkpoint.save import save_state_dict
from modelscope_vitadapter.errors import CheckpointError
from modelscope_vitadapter.logs import get_logger

logger = get_logger()

DEFAULT_CHECKPOINT_NAME = "model.safetensors"
_WEIGHT_SUFFIXES = (".pt", ".bin", ".pth", ".safetensors", ".ckpt", ".onnx")
_WEIGHT_INDEX_SUFFIXES = (".bin.index.json", ".safetensors.index.json")
_CONFIGURATION = "configuration.json"


def save_model_directory(
    state: Mapping[str, torch.Tensor],
    source_dir: Path | None,
    target_dir: Path,
    *,
    checkpoint_name: str = DEFAULT_CHECKPOINT_NAME,
) -> None:
    """Write weights, and the files that belong to their model, into a directory.

    `configuration.json` is left to the caller. Everything is written to a hidden folder inside
    `target_dir` first and moved from there, the weights last. Where files of another model are
    replaced, its weights are removed before. So at no moment does the directory hold weights that
    are incomplete, or that belong to other files than those beside them.

    Args:
        state: name to tensor; prefixes of wrappers (`model.`) are taken off.
        source_dir: the directory that the model was loaded from: `mmcv_config.py`, its base
            files, pictures and texts are copied; weights, hidden files and `configuration.json`
            are not. None copies nothing. May be `target_dir`.
        target_dir: made when missing. Other files in it stay, but for a checkpoint that would be
            read before the new one (see `CHECKPOINT_NAMES`): it is removed.
        checkpoint_name: one of `CHECKPOINT_NAMES`. The built-in model reads
            `pytorch_model.pt` only.

    Raises:
        CheckpointError: the name is none of the three, `source_dir` is no directory, or something
            cannot be written.
    """
    if checkpoint_name not in CHECKPOINT_NAMES:
        raise CheckpointError(
            f"A model directory cannot hold its checkpoint as '{checkpoint_name}': it would not be "
            f"found again. Give one of {', '.join(CHECKPOINT_NAMES)}."
        )
    if source_dir is not None and not Path(source_dir).is_dir():
        raise CheckpointError(
            f"The model's files cannot be copied from '{source_dir}': it is not a directory. Give "
            "the directory that the model was loaded from, or None."
        )
    target_dir = Path(target_dir)
    staging = target_dir / f".saving-{uuid.uuid4().hex}"
    try:
        staging.mkdir(parents=True)
        files = [] if source_dir is None else _stage(Path(source_dir), target_dir, staging)
        save_state_dict(hub_state_dict(state), staging / checkpoint_name)
        _move(files, staging, target_dir, checkpoint_name)
    except OSError as error:
        raise CheckpointError(
            f"The model directory '{target_dir}' cannot be written: {error}. Check the free space "
            "and the permissions."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def model_files(source_dir: Path) -> Iterator[Path]:
    """List the files of a model directory that are not weights.

    Args:
        source_dir: directory in the hub's layout.

    Yields:
        Paths relative to it, in sorted order. Hidden files and folders, `__pycache__`,
        `configuration.json`, weights, and links to folders or to nothing are left out.
    """
    for folder, subfolders, names in os.walk(source_dir):
        subfolders[:] = sorted(
            name for name in subfolders if name != "__pycache__" and not name.startswith(".")
        )
        for name in sorted(names):
            relative = (Path(folder) / name).relative_to(source_dir)
            if (
                name.startswith(".")
                or relative.suffix.lower() in _WEIGHT_SUFFIXES
                or name.lower().endswith(_WEIGHT_INDEX_SUFFIXES)
                or relative == Path(_CONFIGURATION)
                or not (source_dir / relative).is_file()
            ):
                continue
            yield relative


def _stage(source_dir: Path, target_dir: Path, staging: Path) -> list[Path]:
    """Copy to the hidden folder those files that the target lacks or has otherwise."""
    staged: list[Path] = []
    source_dir, target = source_dir.resolve(), target_dir.resolve()
    if source_dir == target:
        return staged
    for relative in model_files(source_dir):
        source = source_dir / relative
        if target in source.parents:
            continue  # the target lies inside the source
        present = target_dir / relative
        if present.is_file() and filecmp.cmp(source, present, shallow=False):
            continue
        (staging / relative).parent.mkdir(parents=True, exist_ok=True)
        # Contents only: a read-only source must not make the copy read-only.
        shutil.copyfile(source, staging / relative)
        staged.append(relative)
    return staged


def _move(files: list[Path], staging: Path, target_dir: Path, checkpoint_name: str) -> None:
    """Move what was staged to its place, so that each moment in between is safe."""
    if files:
        # The weights that are there belong to the files that are about to be replaced.
        for name in CHECKPOINT_NAMES:
            (target_dir / name).unlink(missing_ok=True)
    for relative in files:
        (target_dir / relative).parent.mkdir(parents=True, exist_ok=True)
        (staging / relative).replace(target_dir / relative)
    (staging / checkpoint_name).replace(target_dir / checkpoint_name)
    for name in CHECKPOINT_NAMES[: CHECKPOINT_NAMES.index(checkpoint_name)]:
        older = target_dir / name
        if older.exists():
            older.unlink()
            logger.warning(
                "%s was removed: it would have been read instead of the new %s.",
                older,
                checkpoint_name,
            )
