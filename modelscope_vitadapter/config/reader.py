"""Reads `mmcv_config.py` as data: what the model needs of it is evaluated, nothing is executed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from modelscope_vitadapter.config.base_files import FileReader
from modelscope_vitadapter.config.config_dict import ConfigDict
from modelscope_vitadapter.config.limits import Budget, RefusedValueError, WorkExceededError
from modelscope_vitadapter.config.source import refusal
from modelscope_vitadapter.config.unreadable import Unreadable, unreadable_error
from modelscope_vitadapter.config.values import measure
from modelscope_vitadapter.errors import ConfigError
from modelscope_vitadapter.logs import get_logger

__all__ = ["ConfigDict", "Unreadable", "execute_config", "read_config", "unreadable_error"]

NAMES = ("model", "CLASSES", "PALETTE", "test_cfg", "test_pipeline", "data")
"""Top-level names that are read, besides what they are made of."""

_REQUIRED = ("model", "CLASSES", "PALETTE")
_logger = get_logger()


def read_config(path: Path | str, *, trust_remote_code: bool = False) -> ConfigDict:
    """Read what a model needs from a config file in the style of mmcv 1.x.

    Only assignments that `NAMES` depend on are evaluated, by an evaluator of plain values; no code
    of the file runs. `_base_` files inside the file's directory are merged as mmcv 1.7 does, and
    `{{ fileDirname }}`, `{{ _base_.x }}` and the like are replaced.

    Args:
        path: The file. Its directory is the model directory, which `_base_` files can't leave.
        trust_remote_code: Where the file is refused, let mmengine execute it instead.

    Returns:
        The values of those of `NAMES` that the file defines, and of the names that they are made
        of. An entry of a dict, or a name other than `model`, `CLASSES` and `PALETTE`, that can't be
        evaluated is `Unreadable`. `data.test.pipeline` is filled from `test_pipeline` where the
        file gives it none.

    Raises:
        ConfigNotFoundError: The file, or a `_base_` file, does not exist.
        ConfigError: The file is refused; the message names file, line and text.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100  # resolve() would follow links
    try:
        config = _read(path)
    except ConfigError as error:
        # Without the file there is nothing to execute.
        if not trust_remote_code or not path.is_file():
            raise
        return execute_config(path, error)
    _fill_test_pipeline(config)
    return config


def _read(path: Path) -> ConfigDict:
    budget = Budget()
    try:
        values = FileReader(path.parent, budget).read(path, NAMES)
        plain = {name: _checked(name, value, path, budget) for name, value in values.items()}
        return ConfigDict(plain)
    except WorkExceededError:
        raise refusal(str(path), "the config is too large", "Simplify it.") from None
    except (RecursionError, MemoryError) as error:
        problem = f"reading it fails ({type(error).__name__}: {error})"
        raise refusal(str(path), problem, "Simplify it.") from None


def _checked(name: str, value: Any, path: Path, budget: Budget) -> Any:
    """A value that can be copied into a `ConfigDict`, `Unreadable` where it can't."""
    try:
        measure(value, budget, allow_unreadable=True)
    except RefusedValueError as error:
        value = Unreadable(str(refusal(str(path), f"{name} is {error}", "Simplify it.")))
    problem = unreadable_error(value)
    if problem is not None and name in _REQUIRED:
        raise problem
    return value


def execute_config(path: Path | str, refused: ConfigError) -> ConfigDict:
    """Execute a config file with mmengine. Only for a directory that the caller trusts.

    Args:
        path: The file.
        refused: Why it can't be read as data; goes into the log.

    Returns:
        As `read_config`, without `Unreadable` values.

    Raises:
        ConfigError: Executing it fails too.
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
    """Put `test_pipeline` where its reader looks, `data.test.pipeline`, unless one is there."""
    if "test_pipeline" not in config:
        return
    data = config.setdefault("data", ConfigDict())
    if isinstance(data, ConfigDict):
        test = data.setdefault("test", ConfigDict())
        if isinstance(test, ConfigDict):
            test.setdefault("pipeline", config["test_pipeline"])
