"""Takes values out of a configuration's dictionary, checked, so that none is overlooked."""

from collections.abc import Mapping, Sequence
from typing import Any

from modelscope_vitadapter.config.unreadable import needed
from modelscope_vitadapter.errors import ConfigError
from modelscope_vitadapter.validation import shown

REQUIRED: Any = object()
"""Default of a field that must be present."""

LARGEST = 65536
"""Bound of whole numbers where a field has none of its own."""


class Fields:
    """The entries of one dictionary of a configuration, each to be taken once.

    Args:
        values: the dictionary.
        path: where it stands, for error messages, e.g. `model.backbone`.
    """

    def __init__(self, values: object, path: str) -> None:
        self.path = path
        needed(values)
        if not isinstance(values, Mapping):
            raise ConfigError(
                f"{path} is {shown(values)}: expected dict(...). Change it in mmcv_config.py, or "
                "use the checkpoint's own"
            )
        self._left: dict[str, object] = {str(key): value for key, value in values.items()}

    def refuse(self, key: str, value: object, expected: str) -> ConfigError:
        """An error that names the setting, its value and what was expected."""
        return ConfigError(
            f"{self.path}.{key[:100]} = {shown(value)} can't be honoured: expected {expected}. "
            "Change it in mmcv_config.py, or use a checkpoint that was trained without it."
        )

    def has(self, key: str) -> bool:
        """Whether the entry is there and not taken yet."""
        return key in self._left

    def take(self, key: str, default: object = REQUIRED) -> Any:
        """The entry's value as it is; `default` where it is missing."""
        if key not in self._left:
            if default is REQUIRED:
                raise ConfigError(
                    f"{self.path}.{key} is missing in mmcv_config.py. Add it, or use the "
                    "checkpoint's own mmcv_config.py"
                )
            return default
        return needed(self._left.pop(key))

    def skip(self, *keys: str) -> None:
        """Passes over entries that no answer depends on (training), whatever they hold."""
        for key in keys:
            self._left.pop(key, None)

    def skip_matching(self, prefix: str) -> None:
        """Passes over entries whose name begins with `prefix`."""
        self.skip(*[key for key in self._left if key.startswith(prefix)])

    def child(self, key: str, default: object = REQUIRED) -> "Fields":
        """The entry as a dictionary of its own."""
        return Fields(self.take(key, default), f"{self.path}.{key}")

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
        if not _is_integer(value) or not low <= value <= high:
            raise self.refuse(key, value, f"a whole number from {low} to {high}")
        return int(value)

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
        if not (_is_integer(value) or isinstance(value, float)) or not low <= value <= high:
            raise self.refuse(key, value, f"a number from {low:g} to {high:g}")
        return float(value)

    def probability(self, key: str, default: object = REQUIRED) -> float:
        """A number in [0, 1]."""
        return self.number(key, default, low=0.0, high=1.0)

    def size(self, key: str, default: object = REQUIRED) -> tuple[int, int]:
        """`(height, width)` from a pair or a single number."""
        value = self.take(key, default)
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        pair = list(value) if is_list else [value, value]
        if len(pair) != 2 or not all(_is_integer(side) and 1 <= side <= LARGEST for side in pair):
            raise self.refuse(key, value, f"a whole number or (height, width), each 1 to {LARGEST}")
        return pair[0], pair[1]

    def kind(self, *allowed: str, default: Any = REQUIRED) -> str:
        """The `type` entry, one of `allowed`."""
        value = self.take("type", default)
        if value not in allowed:
            raise self.refuse("type", value, " or ".join(allowed))
        return str(value)

    def only(self, key: str, value: object, *, default: object = None) -> None:
        """Takes an entry that must equal `value`; a list and a tuple of equal items are equal.

        It may be missing, unless `default` is `REQUIRED`.
        """
        found = self.take(key, value if default is None else default)
        if _comparable(found) != _comparable(value):
            raise self.refuse(key, found, repr(value))

    def fixed(self, **values: object) -> None:
        """Takes entries that must equal what is given, or be missing."""
        for key, value in values.items():
            self.only(key, value)

    def finish(self) -> None:
        """Refuses what was not taken, by name.

        Raises:
            ConfigError: if an entry is left.
        """
        for key, value in self._left.items():
            needed(value)
            raise ConfigError(
                f"{self.path}.{key[:100]} = {shown(value)} is a setting that this package does not "
                "know, so it can't be honoured: remove it from mmcv_config.py if the model was "
                "trained without it"
            )


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _comparable(value: object) -> object:
    """What is equal for equal settings: a list is like a tuple, and True is not 1."""
    return tuple(value) if isinstance(value, list) else value, isinstance(value, bool)
