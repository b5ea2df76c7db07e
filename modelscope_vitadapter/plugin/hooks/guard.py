"""Keeps a fault of this package from reaching ModelScope."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from modelscope_vitadapter.logs import get_logger

T = TypeVar("T")

_reported: set[str] = set()


def warn_once(purpose: str, error: Exception) -> None:
    """Log a fault of this package as a warning, the first time it stops `purpose`.

    Args:
        purpose: What was being done, as in "pointing ModelScope's index at this package".
        error: What stopped it; its traceback is logged at debug level.
    """
    if purpose in _reported:
        return
    _reported.add(purpose)
    logger = get_logger()
    logger.warning(
        "modelscope_vitadapter failed at %s (%s: %s); ModelScope goes on without it.",
        purpose,
        type(error).__name__,
        error,
    )
    logger.debug("The failure in full:", exc_info=error)


def attempt(purpose: str, action: Callable[[], T], fallback: T) -> T:
    """Run `action`; where it fails, warn once and return `fallback`.

    Args:
        purpose: As `warn_once` takes it.
        action: The step to run.
        fallback: The answer with which ModelScope behaves as it does without this package.

    Returns:
        What `action` returned, or `fallback`.
    """
    try:
        return action()
    except Exception as error:
        warn_once(purpose, error)
        return fallback
