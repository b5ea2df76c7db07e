"""Where this package logs.

The logger is a child of ModelScope's, so ModelScope's level, handlers and log file apply to it.
"""

import logging
import os

LOGGER_NAME = "modelscope.vitadapter"
QUIET_VARIABLE = "MODELSCOPE_VITADAPTER_QUIET"

_warned: set[str] = set()


def get_logger() -> logging.Logger:
    """This package's logger."""
    return logging.getLogger(LOGGER_NAME)


def warn_once(key: str, message: str, *args: object) -> None:
    """Logs a warning, unless this process logged one of that `key` before."""
    if key not in _warned:
        _warned.add(key)
        get_logger().warning(message, *args)


def set_quiet(quiet: bool = True) -> None:
    """Leaves only errors of this package in the log, or goes back to ModelScope's level."""
    get_logger().setLevel(logging.ERROR if quiet else logging.NOTSET)


set_quiet(os.environ.get(QUIET_VARIABLE, "0") not in ("", "0"))
