"""The mark that stands for a config value that can't be read as data."""

from dataclasses import dataclass
from typing import Any, NoReturn

from modelscope_vitadapter.errors import UnreadableConfigError


@dataclass(frozen=True)
class Unreadable:
    """A value that was refused; whoever needs it raises its error.

    Training settings may hold anything, and refusing them at once would refuse the whole file.
    Testing, iterating over or subscripting the mark raises, so that it isn't taken for a value.
    `message` is the refusal, with file, line and text.
    """

    message: str

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


def unreadable_error(value: object) -> UnreadableConfigError | None:
    """The error to raise where `value` is needed, or None where it is an ordinary value."""
    return value.error if isinstance(value, Unreadable) else None


def needed(value: Any) -> Any:
    """Passes on a value that is used at once; raises the error of one that is `Unreadable`."""
    if isinstance(value, Unreadable):
        raise value.error
    return value
