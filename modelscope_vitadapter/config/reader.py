"""Reads `mmcv_config.py` as data: assignments of plain values are evaluated, nothing is executed.

See `evaluator` for what is read of a file; `_base_` files are merged as mmcv 1.7 does it.
"""

import os
from pathlib import Path
from typing import Any

from modelscope_vitadapter.config.config_dict import ConfigDict, Unreadable
from modelscope_vitadapter.config.evaluator import BASE, NAMES, Evaluator
from modelscope_vitadapter.config.source import TRUST_HINT, Source, Steps, assignment
from modelscope_vitadapter.errors import ConfigError, UnreadableConfigError
from modelscope_vitadapter.logs import get_logger

_DELETE = "_delete_"
_logger = get_logger()


def read_config(path: Path | str) -> ConfigDict:
    """Reads what a model needs from a config file in the style of mmcv 1.x.

    Args:
        path: the file. Its directory is the model directory, which `_base_` files can't leave.

    Returns:
        The values of those of `NAMES` that the file or its `_base_` files define. A name, or an
        entry of a dict, that can't be read is `Unreadable`.

    Raises:
        ConfigNotFoundError: the file, or a `_base_` file, does not exist.
        UnreadableConfigError: the file is refused; the message names file, line and text.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100  # resolve() would follow links
    try:
        return ConfigDict(_read(path, path.parent.resolve(), Steps()))
    except OverflowError:
        raise UnreadableConfigError(
            f"{path}: the config is too long, makes too many values, or has too many _base_ files, "
            f"perhaps in a circle. Simplify it. {TRUST_HINT}"
        ) from None


def execute_config(path: Path, refused: ConfigError) -> ConfigDict:
    """Executes a config file with mmengine. Only for a directory that the caller trusts.

    The log says so, with the error by which it was refused as data; `ConfigError` if it fails too.
    """
    from mmengine.config import Config

    _logger.warning("executing %s, since trust_remote_code=True and %s", path, refused)
    try:
        config = Config.fromfile(path, import_custom_modules=False, lazy_import=False)
        values = config.to_dict()
    except Exception as error:
        raise ConfigError(
            f"{path} can be neither read nor executed: {refused} Executing it with "
            f"mmengine ends in {type(error).__name__}: {error}"
        ) from error
    return ConfigDict({name: values[name] for name in NAMES if name in values})


def _read(path: Path, directory: Path, steps: Steps) -> dict[str, Any]:
    """Values of those of `NAMES` that a file or its `_base_` files in `directory` define."""
    source = Source(path, steps)
    base: dict[str, Any] = {}
    bases = [one[1] for one in map(assignment, source.statements) if one and one[0] == BASE]
    for node in bases:
        found = Evaluator(source, steps, {}).evaluate(node, {})
        for entry in found if isinstance(found, list) else [found]:
            inside = _locate(entry, path.parent, directory)
            if inside is None or len(bases) > 1:
                problem = "_base_ names .py files inside the model directory, in one assignment"
                raise source.error(node, f"{problem}, and not {str(entry)[:100]!r}")
            values = _read(inside, directory, steps)
            if twice := sorted(base.keys() & values.keys()):
                raise source.error(node, f"two _base_ files define {', '.join(twice)}")
            base |= values
    own, changed = Evaluator(source, steps, base).run()
    for name in changed.keys() & own.keys() - base.keys():
        # Whether the base defines the name is unknown, and so what becomes of the key.
        if isinstance(own[name], dict) and _DELETE in own[name]:
            own[name] = changed[name]
    return _merge(own, changed, path)


def _locate(entry: object, parent: Path, directory: Path) -> Path | None:
    """The path that an entry of `_base_` means; None where it is none in the model directory."""
    if not isinstance(entry, str) or not entry.endswith(".py"):
        return None
    path = Path(os.path.normpath(parent / entry))
    try:
        return path if path.resolve().is_relative_to(directory) else None
    except (OSError, ValueError, RuntimeError):  # null bytes, links in a circle
        return None


def _merge(own: dict[str, Any], base: dict[str, Any], path: Path) -> dict[str, Any]:
    """Merges recursively: dicts into dicts, anything else replaces (mmcv 1.7, `Config.fromfile`).

    A dict with a true `_delete_` replaces the base's. As in mmcv, the key stays in a dict that the
    base doesn't have. What can't be merged is `Unreadable`: a dict into something else.
    """
    merged = base | own
    for key in base.keys() & own.keys():
        value, old = own[key], base[key]
        if not isinstance(value, dict):
            continue
        delete = value.pop(_DELETE, False)
        if isinstance(delete, Unreadable):
            merged[key] = delete
        elif not delete and isinstance(old, dict):
            merged[key] = _merge(value, old, path)
        elif not delete:
            problem = (
                f"{path}: {key[:100]!r} is a dict, but a {type(old).__name__} in the _base_ file. "
                f"Add {_DELETE}=True to it to replace the base's value. {TRUST_HINT}"
            )
            merged[key] = old if isinstance(old, Unreadable) else Unreadable(problem)
    return merged
