"""Write a model directory in the hub's layout."""

from __future__ import annotations

import contextlib
import filecmp
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch

from modelscope_vitadapter.checkpoint.keys import hub_state_dict
from modelscope_vitadapter.checkpoint.locate import CHECKPOINT_NAMES
from modelscope_vitadapter.checkpoint.save import save_state_dict, sync_directory, sync_file
from modelscope_vitadapter.errors import CheckpointError
from modelscope_vitadapter.logs import get_logger

logger = get_logger()

DEFAULT_CHECKPOINT_NAME = "model.safetensors"
_WEIGHT_SUFFIXES = (".pt", ".bin", ".pth", ".safetensors", ".ckpt", ".onnx")
_WEIGHT_INDEX_SUFFIXES = (".bin.index.json", ".safetensors.index.json")
_CONFIGURATION = "configuration.json"
_CONFIG = "mmcv_config.py"


def save_model_directory(
    state: Mapping[str, torch.Tensor],
    source_dir: Path | None,
    target_dir: Path,
    *,
    checkpoint_name: str = DEFAULT_CHECKPOINT_NAME,
    write_configuration: Callable[[Path], None] | None = None,
) -> None:
    """Write weights, and the files that belong to their model, into a directory.

    Everything is written to a hidden folder inside `target_dir` first and moved from there, the
    weights last. Where files of another model are replaced, its weights are removed before. So at
    no moment does the directory hold weights that are incomplete, or that belong to other files
    than those beside them. After a kill the hidden folder (`.saving-*`) may stay; it is never read.

    Args:
        state: name to tensor; prefixes of wrappers (`model.`) are taken off.
        source_dir: the directory that the model was loaded from: `mmcv_config.py`, its base
            files, pictures and texts are copied; weights, hidden files and `configuration.json`
            are not. None copies nothing. May be `target_dir`.
        target_dir: made when missing. Other files in it stay, but for a checkpoint that would be
            read before the new one (see `CHECKPOINT_NAMES`): it is removed.
        checkpoint_name: one of `CHECKPOINT_NAMES`. The built-in model reads
            `pytorch_model.pt` only.
        write_configuration: writes `configuration.json` into the folder that it is given, and
            whatever else goes before the file of that name in `source_dir`. None leaves
            `configuration.json` to the caller.

    Raises:
        CheckpointError: the name is none of the three, `source_dir` is no directory, or something
            cannot be written.
    """
    if checkpoint_name not in CHECKPOINT_NAMES:
        raise CheckpointError(
            f"A model directory cannot hold its checkpoint as '{checkpoint_name}': it would not be "
            f"found again. Give one of {', '.join(CHECKPOINT_NAMES)}."
        )
    _check_source(source_dir)
    with _staging_in(target_dir) as staging:
        files = _stage(source_dir, target_dir, staging, write_configuration)
        save_state_dict(hub_state_dict(state), staging / checkpoint_name)
        if files:
            # The weights that are there belong to the files that are about to be replaced.
            for name in CHECKPOINT_NAMES:
                (target_dir / name).unlink(missing_ok=True)
        _move(files, staging, target_dir)
        _move([Path(checkpoint_name)], staging, target_dir)
        _remove_preferred(target_dir, checkpoint_name)


def save_model_files(
    source_dir: Path,
    target_dir: Path,
    *,
    write_configuration: Callable[[Path], None] | None = None,
) -> None:
    """Write what belongs to a model but its weights; each file appears only when it is complete.

    Args:
        source_dir: as for `save_model_directory`.
        target_dir: as there; weights in it stay.
        write_configuration: as there.

    Raises:
        CheckpointError: `source_dir` is no directory, or something cannot be written.
    """
    _check_source(source_dir)
    with _staging_in(target_dir) as staging:
        _move(_stage(source_dir, target_dir, staging, write_configuration), staging, target_dir)


def _check_source(source_dir: Path | None) -> None:
    if source_dir is not None and not source_dir.is_dir():
        raise CheckpointError(
            f"The model's files cannot be copied from '{source_dir}': it is not a directory. Give "
            "the directory that the model was loaded from, or None."
        )


@contextlib.contextmanager
def _staging_in(target_dir: Path) -> Iterator[Path]:
    """Give a new hidden folder in the target, and remove it in the end."""
    staging = target_dir / f".saving-{uuid.uuid4().hex}"
    try:
        staging.mkdir(parents=True)
        yield staging
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
            relative = (Path(folder) / name).relative_to(source_dir)
            if (
                name.startswith(".")
                or relative.suffix.lower() in _WEIGHT_SUFFIXES
                or name.lower().endswith(_WEIGHT_INDEX_SUFFIXES)
                or relative == Path(_CONFIGURATION)
                or not (source_dir / relative).is_file()
            ):
                continue
            if relative != Path(_CONFIG) and not _leads_into(source_dir / relative, inside):
                logger.warning(
                    "%s is not copied: it is a link to a file outside of its directory. Copy that "
                    "file yourself if it belongs to the model.",
                    source_dir / relative,
                )
                continue
            yield relative


def _leads_into(path: Path, directory: Path) -> bool:
    return path.resolve().is_relative_to(directory)


def _stage(
    source_dir: Path | None,
    target_dir: Path,
    staging: Path,
    write_configuration: Callable[[Path], None] | None,
) -> list[Path]:
    """Put those files into the hidden folder that the target lacks or has otherwise."""
    if source_dir is not None:
        _copy(source_dir, target_dir, staging)
    if write_configuration is not None:
        write_configuration(staging)
    written = (path.relative_to(staging) for path in sorted(staging.rglob("*")) if path.is_file())
    staged = [one for one in written if not _is_same(staging / one, target_dir / one)]
    for relative in staged:
        sync_file(staging / relative)
    return staged


def _copy(source_dir: Path, target_dir: Path, staging: Path) -> None:
    source_dir, target = source_dir.resolve(), target_dir.resolve()
    if source_dir == target:
        return
    for relative in model_files(source_dir):
        source = source_dir / relative
        if target in source.parents:
            continue  # the target lies inside the source
        if _is_same(source, target_dir / relative):
            continue
        (staging / relative).parent.mkdir(parents=True, exist_ok=True)
        # Contents only: a read-only source must not make the copy read-only.
        shutil.copyfile(source, staging / relative)


def _is_same(new: Path, present: Path) -> bool:
    """Whether a file need not be replaced; data of JSON may be laid out otherwise."""
    if new.name == _CONFIGURATION:
        return _same_data(new, present)
    return present.is_file() and filecmp.cmp(new, present, shallow=False)


def _same_data(new: Path, present: Path) -> bool:
    """Whether two JSON files say the same; one that is laid out otherwise need not be replaced."""
    try:
        return bool(json.loads(new.read_bytes()) == json.loads(present.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return False


def _move(files: list[Path], staging: Path, target_dir: Path) -> None:
    for relative in files:
        (target_dir / relative).parent.mkdir(parents=True, exist_ok=True)
        (staging / relative).replace(target_dir / relative)
        sync_directory((target_dir / relative).parent)


def _remove_preferred(target_dir: Path, checkpoint_name: str) -> None:
    """Remove checkpoints that would be read before the one of this name."""
    for name in CHECKPOINT_NAMES[: CHECKPOINT_NAMES.index(checkpoint_name)]:
        older = target_dir / name
        if older.exists():
            older.unlink()
            logger.warning(
                "%s was removed: it would have been read instead of the new %s.",
                older,
                checkpoint_name,
            )
