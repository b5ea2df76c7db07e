"""A model directory in the hub's layout: finding its checkpoint, writing all of it."""

from __future__ import annotations

import contextlib
import filecmp
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch

from modelscope_vitadapter.checkpoint.names import hub_state_dict
from modelscope_vitadapter.checkpoint.save import save_state_dict, sync_directory, sync_file
from modelscope_vitadapter.errors import CheckpointError, CheckpointNotFoundError
from modelscope_vitadapter.logs import get_logger

logger = get_logger()

CHECKPOINT_NAMES = ("pytorch_model.pt", "pytorch_model.bin", "model.safetensors")
"""File names that are looked for, the preferred one first.

The built-in model reads `pytorch_model.pt` only, so that name comes first: a directory gives the
same weights in both.
"""

DEFAULT_CHECKPOINT_NAME = "model.safetensors"
_WEIGHT_SUFFIXES = (".pt", ".bin", ".pth", ".safetensors", ".ckpt", ".onnx")
_WEIGHT_INDEX_SUFFIXES = (".bin.index.json", ".safetensors.index.json")
_CONFIGURATION = "configuration.json"
_CONFIG = "mmcv_config.py"

WriteConfiguration = Callable[[Path], None]
"""Writes `configuration.json`, and what else is new, into the folder that it is given."""


def find_checkpoint(model_dir: Path) -> Path:
    """Give the checkpoint file of a model directory.

    Returns:
        The first of `CHECKPOINT_NAMES` that exists in it. When several do, the log says which one
        is taken.

    Raises:
        CheckpointNotFoundError: `model_dir` is no directory, or holds none of the three.
    """
    model_dir, names = Path(model_dir), ", ".join(CHECKPOINT_NAMES)
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
        found = ", ".join(present)
        logger.warning(
            "%s holds several checkpoints (%s); %s is read.", model_dir, found, present[0]
        )
    return model_dir / present[0]


def save_model_directory(
    state: Mapping[str, torch.Tensor],
    source_dir: Path | None,
    target_dir: Path,
    *,
    checkpoint_name: str = DEFAULT_CHECKPOINT_NAME,
    write_configuration: WriteConfiguration | None = None,
) -> None:
    """Write weights, and the files that belong to their model, into a directory.

    Everything is written to a hidden folder inside `target_dir` first and moved from there, the
    weights last. Where files of another model are replaced, its weights are removed before. So at
    no moment does the directory hold weights that are incomplete, or that belong to other files
    than those beside them. After a kill the hidden folder (`.saving-*`) may stay; it is never read.

    Args:
        state: name to tensor; prefixes of wrappers (`model.`) are taken off.
        source_dir: the directory that the model was loaded from: `mmcv_config.py`, its base
            files, images and texts are copied; weights, hidden files and `configuration.json`
            are not. None copies nothing. May be `target_dir`.
        target_dir: made when missing. Other files in it stay, but for a checkpoint that would be
            read before the new one (see `CHECKPOINT_NAMES`): it is removed.
        checkpoint_name: one of `CHECKPOINT_NAMES`. The built-in model reads
            `pytorch_model.pt` only.
        write_configuration: what it writes goes before files of `source_dir` of that name; None
            leaves `configuration.json` to the caller.

    Raises:
        CheckpointError: the name is none of the three, `source_dir` is no directory, or something
            cannot be written.
    """
    if checkpoint_name not in CHECKPOINT_NAMES:
        raise CheckpointError(
            f"A model directory cannot hold its checkpoint as '{checkpoint_name}': it would not be "
            f"found again. Give one of {', '.join(CHECKPOINT_NAMES)}."
        )
    with _staged(source_dir, target_dir, write_configuration) as (staging, files):
        save_state_dict(hub_state_dict(state), staging / checkpoint_name)
        if files:
            # The weights that are there belong to the files that are about to be replaced.
            for name in CHECKPOINT_NAMES:
                (target_dir / name).unlink(missing_ok=True)
        for relative in (*files, Path(checkpoint_name)):
            _move(staging / relative, target_dir / relative)
        for name in CHECKPOINT_NAMES[: CHECKPOINT_NAMES.index(checkpoint_name)]:
            preferred = target_dir / name
            if preferred.exists():
                preferred.unlink()
                logger.warning(
                    "%s was removed: it would have been read instead of the new %s.",
                    preferred,
                    checkpoint_name,
                )


def save_model_files(
    source_dir: Path, target_dir: Path, *, write_configuration: WriteConfiguration | None = None
) -> None:
    """Write what belongs to a model but its weights; each file appears only when it is complete.

    Arguments and errors are those of `save_model_directory`; weights in the target stay.
    """
    with _staged(source_dir, target_dir, write_configuration) as (staging, files):
        for relative in files:
            _move(staging / relative, target_dir / relative)


@contextlib.contextmanager
def _staged(
    source_dir: Path | None, target_dir: Path, write_configuration: WriteConfiguration | None
) -> Iterator[tuple[Path, list[Path]]]:
    """Put those files into a hidden folder of the target that it lacks or has otherwise.

    Yields:
        The folder, which is removed in the end, and the names of the files, relative to it.
    """
    if source_dir is not None and not source_dir.is_dir():
        raise CheckpointError(
            f"The model's files cannot be copied from '{source_dir}': it is not a directory. Give "
            "the directory that the model was loaded from, or None."
        )
    staging = target_dir / f".saving-{uuid.uuid4().hex}"
    try:
        staging.mkdir(parents=True)
        if source_dir is not None:
            _copy(source_dir.resolve(), target_dir, staging)
        if write_configuration is not None:
            write_configuration(staging)
        staged = [path.relative_to(staging) for path in staging.rglob("*") if path.is_file()]
        files = [file for file in staged if not _same(staging / file, target_dir / file)]
        for relative in files:
            sync_file(staging / relative)
        yield staging, files
    except OSError as error:
        raise CheckpointError(
            f"The model directory '{target_dir}' cannot be written: {error}. Check the free space "
            "and the permissions."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _copy(source_dir: Path, target_dir: Path, staging: Path) -> None:
    """Copy the model's files that the target lacks or has otherwise."""
    for relative in model_files(source_dir):
        source = source_dir / relative
        if target_dir.resolve() in source.parents or _same(source, target_dir / relative):
            continue  # the target may lie in the source, or be it
        (staging / relative).parent.mkdir(parents=True, exist_ok=True)
        # Contents only: a read-only source must not make the copy read-only.
        shutil.copyfile(source, staging / relative)


def model_files(source_dir: Path) -> Iterator[Path]:
    """List the files of a model directory that are not weights.

    Yields:
        Paths relative to it, in sorted order. Hidden files and folders, `__pycache__`,
        `configuration.json`, weights, and links to folders or to nothing are left out. So are links
        to files outside of the directory, with a warning: whoever made the directory could have any
        file of this machine copied into what is then published. Only `mmcv_config.py`, which was
        read as a configuration, may be one (caches that keep files by their content have such).
    """
    inside = source_dir.resolve()
    for folder, subfolders, names in os.walk(source_dir):
        subfolders[:] = sorted(
            name for name in subfolders if name != "__pycache__" and not name.startswith(".")
        )
        for name in sorted(names):
            path = Path(folder) / name
            relative = path.relative_to(source_dir)
            if (
                name.startswith(".")
                or path.suffix.lower() in _WEIGHT_SUFFIXES
                or name.lower().endswith(_WEIGHT_INDEX_SUFFIXES)
                or relative == Path(_CONFIGURATION)
                or not path.is_file()
            ):
                continue
            if relative == Path(_CONFIG) or path.resolve().is_relative_to(inside):
                yield relative
            else:
                logger.warning(
                    "%s is not copied: it is a link to a file outside of its directory. Copy that "
                    "file yourself if it belongs to the model.",
                    path,
                )


def _same(new: Path, present: Path) -> bool:
    return present.is_file() and filecmp.cmp(new, present, shallow=False)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
    sync_directory(target.parent)
