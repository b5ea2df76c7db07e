"""What a configuration is made of: dictionaries, and marks for values that can't be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from addict import Dict

from modelscope_vitadapter.errors import UnreadableConfigError


class ConfigDict(Dict):  # type: ignore[misc]  # addict is untyped
    """An `addict.Dict` in which a missing name is an error, as in mmcv's `Config`.

    Dictionaries inside it, also those in lists and tuples, become `ConfigDict`s. Where there is no
    such name, `cfg['name']` raises `KeyError` and `cfg.name` `AttributeError`.
    """

    def __missing__(self, name: object) -> NoReturn:
        raise KeyError(name)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the config has no {name!r}") from None


@dataclass(frozen=True)
class Unreadable:
    """A value that was refused, with the `message` of the refusal: file, line and text.

    Who needs it gets the error: refusing training settings at once would refuse the whole file.
    Testing, iterating over or subscripting the mark raises, so that it isn't taken for a value.
    """

    message: str

    def refuse(self, *_key: object) -> NoReturn:
        """Raises the error."""
        raise UnreadableConfigError(self.message)

    __bool__ = __iter__ = __getitem__ = refuse


def needed(value: Any) -> Any:
    """Passes on a value that is used at once; raises the error of one that is `Unreadable`."""
    if isinstance(value, Unreadable):
        value.refuse()
    return value
