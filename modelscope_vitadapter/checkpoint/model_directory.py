"""A model directory in the hub's layout: finding its checkpoint, writing all of it."""

from __future__ import annotations

import filecmp
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch

from modelscope_vitadapter.checkpoint.names import hub_names
from modelscope_vitadapter.checkpoint.save import save_state_dict, sync_directory, sync_file
from modelscope_vitadapter.errors import CheckpointError, CheckpointNotFoundError
from modelscope_vitadapter.logs import get_logger

logger = get_logger()

CHECKPOINT_NAMES = ("pytorch_model.pt", "pytorch_model.bin", "model.safetensors")
"""File names that are looked for, the preferred one first, which is the built-in model's."""

DEFAULT_CHECKPOINT_NAME = "model.safetensors"
_WEIGHT_SUFFIXES = (".pt", ".bin", ".pth", ".safetensors", ".ckpt", ".onnx")
_WEIGHT_INDEX_SUFFIXES = (".bin.index.json", ".safetensors.index.json")
_CONFIGURATION = "configuration.json"
_CONFIG = "mmcv_config.py"


def find_checkpoint(model_dir: Path) -> Path:
    """Give the first of `CHECKPOINT_NAMES` in a directory; or `CheckpointNotFoundError`."""
    # Path's own methods raise where they may not look.
    present = [name for name in CHECKPOINT_NAMES if os.path.exists(model_dir / name)]  # noqa: PTH110
    if not present:
        is_folder = os.path.isdir(model_dir)  # noqa: PTH112
        raise CheckpointNotFoundError(
            f"'{model_dir}' {'holds no checkpoint' if is_folder else 'is not a directory'}; "
            f"expected a model directory with one of {', '.join(CHECKPOINT_NAMES)}. Check the "
            "path, or download the model again."
        )
    if len(present) > 1:
        several = ", ".join(present)
        logger.warning("%s holds several checkpoints (%s); the first is read.", model_dir, several)
    return model_dir / present[0]


def save_model_directory(
    state: Mapping[str, torch.Tensor] | None,
    source_dir: Path,
    target_dir: Path,
    *,
    checkpoint_name: str = DEFAULT_CHECKPOINT_NAME,
    write_configuration: Callable[[Path], None],
) -> None:
    """Write weights, and the files that belong to their model, into a directory.

    Everything is written to a hidden folder inside `target_dir` first and moved from there, the
    weights last. Where files of another model are replaced, its weights are removed before. So at
    no moment does the directory hold weights that are incomplete, or that belong to other files
    than those beside them. After a kill the hidden folder (`.saving-*`) may stay; it is never read.

    Args:
        state: name to tensor; prefixes of wrappers (`model.`) are taken off. None writes the other
            files, and lets the weights that are there stay.
        source_dir: where the model was loaded from, may be `target_dir`: `mmcv_config.py`, its base
            files, images and texts are copied; weights, hidden files, `configuration.json` are not.
        target_dir: made when missing. Other files in it stay, but for a checkpoint that would be
            read before the new one: it is removed.
        checkpoint_name: one of `CHECKPOINT_NAMES`.
        write_configuration: writes `configuration.json`, and what else precedes files of
            `source_dir`, into the folder that it is given.

    Raises:
        CheckpointError: the name is another, `source_dir` no directory, or writing fails.
    """
    if state is not None and checkpoint_name not in CHECKPOINT_NAMES:
        raise CheckpointError(
            f"A model directory cannot hold its checkpoint as '{checkpoint_name}': it would not be "
            f"found again. Give one of {', '.join(CHECKPOINT_NAMES)}."
        )
    if not source_dir.is_dir():
        raise CheckpointError(
            f"The model's files cannot be copied from '{source_dir}': it is not a directory. Put "
            "the directory that the model was loaded from back."
        )
    staging = target_dir / f".saving-{uuid.uuid4().hex}"
    try:
        staging.mkdir(parents=True)
        for relative in _model_files(source_dir.resolve(), target_dir.resolve()):
            (staging / relative).parent.mkdir(parents=True, exist_ok=True)
            # Contents only: a read-only source must not make the copy read-only.
            shutil.copyfile(source_dir / relative, staging / relative)
        write_configuration(staging)
        staged = [path.relative_to(staging) for path in staging.rglob("*") if path.is_file()]
        files = [path for path in staged if not _same(staging / path, target_dir / path)]
        for relative in files:
            sync_file(staging / relative)
        if state is not None:
            weights = {bare: state[name] for bare, name in hub_names(state).items()}
            save_state_dict(weights, staging / checkpoint_name)
            # Weights that are there belong to the files that are about to be replaced.
            for name in CHECKPOINT_NAMES if files else ():
                (target_dir / name).unlink(missing_ok=True)
            files.append(Path(checkpoint_name))
        _move(files, staging, target_dir)
        if state is not None:
            _remove_preferred(target_dir, checkpoint_name)
    except OSError as error:
        raise CheckpointError(
            f"The model directory '{target_dir}' cannot be written: {error}. Check the free space "
            "and the permissions."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _move(files: list[Path], source_dir: Path, target_dir: Path) -> None:
    for relative in files:
        target = target_dir / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        (source_dir / relative).replace(target)
        sync_directory(target.parent)


def _remove_preferred(model_dir: Path, checkpoint_name: str) -> None:
    """Remove the checkpoints that would be read instead of a new one."""
    for name in CHECKPOINT_NAMES[: CHECKPOINT_NAMES.index(checkpoint_name)]:
        if (model_dir / name).exists():
            (model_dir / name).unlink()
            instead = f"it would have been read instead of the new {checkpoint_name}"
            logger.warning("%s was removed: %s.", model_dir / name, instead)


def _model_files(source_dir: Path, target_dir: Path) -> Iterator[Path]:
    """List the files of a model directory that are not weights, relative to it.

    Hidden files and folders, `__pycache__`, `configuration.json`, weights, links to folders or to
    nothing, and what lies in the target are left out. So are links to files outside of the
    directory, with a warning: whoever made the directory could have any file of this machine copied
    into what is then published. Only `mmcv_config.py`, which was read as a configuration, may be
    one (caches that keep files by their content have such).
    """
    for folder, subfolders, names in os.walk(source_dir):
        if Path(folder) == target_dir:
            subfolders.clear()
            continue
        subfolders[:] = [n for n in subfolders if n != "__pycache__" and not n.startswith(".")]
        for name in names:
            path = Path(folder, name)
            relative = path.relative_to(source_dir)
            if (
                name.startswith(".")
                or path.suffix.lower() in _WEIGHT_SUFFIXES
                or name.lower().endswith(_WEIGHT_INDEX_SUFFIXES)
                or relative == Path(_CONFIGURATION)
                or not path.is_file()
            ):
                continue
            if relative == Path(_CONFIG) or path.resolve().is_relative_to(source_dir):
                yield relative
            else:
                logger.warning(
                    "%s is not copied: it is a link to a file outside of its directory. Copy that "
                    "file yourself if it belongs to the model.",
                    path,
                )


def _same(new: Path, present: Path) -> bool:
    return present.is_file() and filecmp.cmp(new, present, shallow=False)
