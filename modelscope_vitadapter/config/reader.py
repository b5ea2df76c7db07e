"""Reads `mmcv_config.py` as data: assignments of plain values are evaluated, nothing is executed.

See `evaluator` for what is read of a file; `_base_` files are merged as mmcv 1.7 does it.
"""

import ast
import os
from pathlib import Path
from typing import Any

from modelscope_vitadapter.config.config_dict import ConfigDict
from modelscope_vitadapter.config.evaluator import BASE, NAMES, Evaluator
from modelscope_vitadapter.config.source import TRUST_HINT, Source, Steps
from modelscope_vitadapter.config.unreadable import Unreadable, needed
from modelscope_vitadapter.errors import ConfigError, UnreadableConfigError
from modelscope_vitadapter.logs import get_logger

_REQUIRED = ("model", "CLASSES", "PALETTE")
_DELETE = "_delete_"
_logger = get_logger()


def read_config(path: Path | str, *, trust_remote_code: bool = False) -> ConfigDict:
    """Reads what a model needs from a config file in the style of mmcv 1.x.

    Args:
        path: the file. Its directory is the model directory, which `_base_` files can't leave.
        trust_remote_code: where the file is refused, let mmengine execute it instead.

    Returns:
        The values of those of `NAMES` that the file or its `_base_` files define. An entry of a
        dict, or a name other than `model`, `CLASSES` and `PALETTE`, that can't be read is
        `Unreadable`. `data.test.pipeline` is filled from `test_pipeline` where it is missing.

    Raises:
        ConfigNotFoundError: the file, or a `_base_` file, does not exist.
        ConfigError: the file is refused; the message names file, line and text.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100  # resolve() would follow links
    try:
        config = ConfigDict(_read(path, path.parent.resolve(), Steps(path)))
        for name in _REQUIRED:
            needed(config.get(name))
    except ConfigError as error:
        # Without the file there is nothing to execute.
        if not trust_remote_code or not path.is_file():
            raise
        return execute_config(path, error)
    _fill_test_pipeline(config)
    return config


def execute_config(path: Path | str, refused: ConfigError) -> ConfigDict:
    """Executes a config file with mmengine. Only for a directory that the caller trusts.

    Args:
        path: the file.
        refused: why it can't be read as data; goes into the log.

    Returns:
        As `read_config`, without `Unreadable` values.

    Raises:
        ConfigError: executing it fails too.
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
    executed = ConfigDict({name: values[name] for name in NAMES if name in values})
    _fill_test_pipeline(executed)
    return executed


def _fill_test_pipeline(config: ConfigDict) -> None:
    """Puts `test_pipeline` where its reader looks, `data.test.pipeline`, unless one is there."""
    if "test_pipeline" not in config:
        return
    data = config.setdefault("data", ConfigDict())
    if isinstance(data, ConfigDict):
        test = data.setdefault("test", ConfigDict())
        if isinstance(test, ConfigDict):
            test.setdefault("pipeline", config["test_pipeline"])


def _read(path: Path, directory: Path, steps: Steps) -> dict[str, Any]:
    """Values of those of `NAMES` that a file or its `_base_` files in `directory` define."""
    source = Source(path, steps)
    base: dict[str, Any] = {}
    named = [each for each in source.statements if source.assigned_name(each) == BASE]
    for statement in named:
        assert isinstance(statement, ast.Assign)
        found = Evaluator(source, steps, {}).evaluate(statement.value, {})
        for entry in found if isinstance(found, list) else [found]:
            inside = _locate(entry, path.parent, directory)
            if inside is None or len(named) > 1:
                problem = "_base_ names .py files inside the model directory, in one assignment"
                raise source.error(statement, f"{problem}, and not {str(entry)[:100]!r}")
            values = _read(inside, directory, steps)
            if twice := sorted(base.keys() & values.keys()):
                raise source.error(statement, f"two _base_ files define {', '.join(twice)}")
            base |= values
    own, base = Evaluator(source, steps, base).run()
    return _merge(own, base, path)


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
        value = own[key]
        if not isinstance(value, dict):
            continue
        entries = {name: entry for name, entry in value.items() if name != _DELETE}
        try:
            if value.get(_DELETE, False):
                merged[key] = entries
            elif isinstance(old := needed(base[key]), dict):
                merged[key] = _merge(entries, old, path)
            else:
                raise UnreadableConfigError(
                    f"{path}: {key[:100]!r} is a dict, but a {type(old).__name__} in the _base_ "
                    f"file. Add {_DELETE}=True to it to replace the base's value. {TRUST_HINT}"
                )
        except UnreadableConfigError as error:
            merged[key] = Unreadable(str(error))
    return merged
