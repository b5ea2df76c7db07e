"""The mark that stands for a config value which could not be evaluated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NoReturn

from modelscope_vitadapter.errors import ConfigError, UnreadableConfigError


@dataclass(frozen=True)
class Unreadable:
    """A value that was refused; whoever needs it raises its error.

    Training settings may hold anything, and refusing them at once would refuse the whole file.
    Testing, iterating over or subscripting the mark raises, so that it isn't taken for a value.

    Attributes:
        message: The refusal, with file, line and offending text.
        reads: Names that the refused expression or statement reads, which the unknown value may
            therefore share objects with.
    """

    message: str
    reads: frozenset[str] = field(default=frozenset(), repr=False, compare=False)

    @property
    def error(self) -> UnreadableConfigError:
        """A new error with the message."""
        return UnreadableConfigError(self.message)

    def __bool__(self) -> NoReturn:
        raise self.error

    def __iter__(self) -> NoReturn:
        raise self.error

    def __getitem__(self, key: object) -> NoReturn:
        raise self.error


def needed(value: Any) -> Any:
    """Pass on a value that is used at once.

    Raises:
        ConfigError: It is `Unreadable`.
    """
    if isinstance(value, Unreadable):
        raise value.error
    return value


def unreadable_error(value: object) -> ConfigError | None:
    """The error to raise when `value` is needed, or None where it is an ordinary value.

    Args:
        value: Any value of a config.
    """
    return value.error if isinstance(value, Unreadable) else None
