"""Takes values out of a configuration's dictionary, checked, so that none is overlooked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelscope_vitadapter.config.config_dict import needed
from modelscope_vitadapter.errors import ConfigError
from modelscope_vitadapter.validation import shown

REQUIRED: Any = object()  # default of a field that must be present
LARGEST = 65536  # whole number where a field has no bound of its own


class Fields:
    """The entries of one dictionary of a configuration, each to be taken once.

    Every method raises `ConfigError`, with the entry's name, for a value that is not what it takes.

    Args:
        values: the dictionary.
        path: where it stands: `model.backbone`, say, or "" for the whole file.
    """

    def __init__(self, values: object, path: str) -> None:
        self.path = path
        if not isinstance(values, Mapping):
            raise ConfigError(
                f"{path} is {shown(needed(values))}: expected dict(...). Change it in "
                "mmcv_config.py, or use the checkpoint's own"
            )
        self._left: dict[str, object] = {str(key): value for key, value in values.items()}

    def _name(self, key: str) -> str:
        return f"{self.path}.{key[:100]}".removeprefix(".")

    def refuse(self, key: str, value: object, expected: str) -> ConfigError:
        """An error that names the setting, its value and what was expected."""
        return ConfigError(
            f"{self._name(key)} = {shown(value)} can't be honoured: expected {expected}. Change it "
            "in mmcv_config.py if the model was trained otherwise, or use another checkpoint."
        )

    def take(self, key: str, default: object = REQUIRED) -> Any:
        """The entry's value as it is; `default` where it is missing."""
        if key not in self._left:
            if default is REQUIRED:
                raise ConfigError(
                    f"{self._name(key)} is missing in mmcv_config.py. Add it, or use the "
                    "checkpoint's own mmcv_config.py"
                )
            return default
        return needed(self._left.pop(key))

    def skip(self, *keys: str) -> None:
        """Passes over entries that no answer depends on (training), whatever they hold."""
        for key in keys:
            self._left.pop(key, None)

    def child(self, key: str, default: object = REQUIRED) -> Fields:
        """The entry as a dictionary of its own."""
        return Fields(self.take(key, default), self._name(key))

    def boolean(self, key: str, default: object = REQUIRED) -> bool:
        """True or False."""
        value = self.take(key, default)
        if not isinstance(value, bool):
            raise self.refuse(key, value, "True or False")
        return value

    def integer(
        self, key: str, default: object = REQUIRED, *, low: int = 1, high: int = LARGEST
    ) -> int:
        """A whole number in `low ... high`."""
        value = self.take(key, default)
        if type(value) is not int or not low <= value <= high:
            raise self.refuse(key, value, f"a whole number from {low} to {high}")
        return value

    def divisor(self, key: str, of: int, default: object = REQUIRED) -> int:
        """A whole number that divides `of` without a rest."""
        value = self.integer(key, default)
        if of % value:
            raise self.refuse(key, value, f"a divisor of {of}")
        return value

    def number(
        self, key: str, default: object = REQUIRED, *, low: float = 0.0, high: float = 1e12
    ) -> float:
        """A number in `low ... high`."""
        value = self.take(key, default)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:
            raise self.refuse(key, value, f"a number from {low:g} to {high:g}")
        return float(value)

    def parts(self, key: str, value: object, count: int | None = None) -> list[Fields]:
        """The items of a list, the value of `key`; each is to be taken by that name."""
        if not isinstance(value, list | tuple) or count not in (None, len(value)):
            raise self.refuse(key, value, f"a list of {count or 'some'} numbers")
        return [Fields({key: part}, self.path) for part in value]

    def pair(
        self, key: str, value: object, *, low: int = 1, high: int = LARGEST
    ) -> tuple[int, int]:
        """Two whole numbers in `low ... high`, the value of `key`."""
        first, second = self.parts(key, value, 2)
        return first.integer(key, low=low, high=high), second.integer(key, low=low, high=high)

    def size(self, key: str, default: object = REQUIRED, *, low: int = 1) -> tuple[int, int]:
        """`(height, width)` from a pair or a single number."""
        value = self.take(key, default)
        return self.pair(key, value if isinstance(value, list | tuple) else [value] * 2, low=low)

    def kind(self, *allowed: str) -> None:
        """Takes the `type`, which must be one of `allowed`."""
        value = self.take("type")
        if value not in allowed:
            raise self.refuse("type", value, " or ".join(allowed))

    def fixed(self, **values: object) -> None:
        """Takes entries that must equal these, or be missing; a list equals a tuple."""
        for key, value in values.items():
            found = self.take(key, value)
            if _comparable(found) != _comparable(value):
                raise self.refuse(key, found, repr(value))

    def required(self, **values: object) -> None:
        """Takes entries that must be there and equal these."""
        for key, value in values.items():
            self._left[key] = self.take(key)
            self.fixed(**{key: value})

    def finish(self) -> None:
        """Refuses what was not taken, by name."""
        for key, value in self._left.items():
            raise ConfigError(
                f"{self._name(key)} = {shown(needed(value))} is a setting that this package does "
                "not know, so it can't be honoured: remove it from mmcv_config.py if the model was "
                "trained without it"
            )


def _comparable(value: object) -> object:
    """What is equal for equal settings: a list is like a tuple, and True is not 1."""
    return tuple(value) if isinstance(value, list) else value, isinstance(value, bool)
