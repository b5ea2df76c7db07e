"""Reading the arguments of one transform of a test pipeline."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from modelscope_vitadapter.config.unreadable import needed
from modelscope_vitadapter.errors import ConfigError
from modelscope_vitadapter.validation import shown

LARGEST_NUMBER = 1e12
"""What numbers other than sizes may be, either sign."""

MAX_SIDE = 2**16
"""Pixels of a side that a transform asks for."""

MAX_AREA = 2**26
"""Pixels of an area that a transform asks for: 8192 x 8192."""


def _raise_unreadable(value: object) -> None:
    """Raise the error of a value, or of an element of one, that could not be evaluated."""
    parts = value if isinstance(value, list | tuple) else ()
    for part in (value, *parts):
        needed(part)


class TransformSettings:
    """The type and the arguments of one transform, checked on reading.

    Every method that finds another value than it expects raises a `ConfigError` that names the
    transform, the argument, its value and what was expected.
    """

    def __init__(self, config: object) -> None:
        _raise_unreadable(config)
        if not isinstance(config, Mapping) or not isinstance(config.get("type"), str):
            raise ConfigError(
                f"test pipeline: {shown(config)} is no transform, expected a dict with a 'type' in "
                "mmcv_config.py"
            )
        for value in config.values():
            _raise_unreadable(value)
        self.type: str = config["type"].removeprefix("mmdet.")
        self._values: dict[str, Any] = {str(k): v for k, v in config.items() if k != "type"}

    def allow(self, names: Collection[str]) -> None:
        """Refuse arguments other than these."""
        unknown = sorted(set(self._values) - set(names))
        if unknown:
            raise ConfigError(
                f"test pipeline: {self.type} has unknown argument(s) {shown(unknown)}, expected "
                f"some of {sorted(names)}. Remove them from mmcv_config.py"
            )

    def refuse(self, name: str, expected: str) -> NoReturn:
        """Raise an error that names the argument, its value and what was expected."""
        raise ConfigError(
            f"test pipeline: {self.type} has {name}={shown(self._values.get(name))}, expected "
            f"{expected}. Change it in mmcv_config.py"
        )

    def value(self, name: str, default: object = None) -> Any:
        """Return an argument as it is."""
        return self._values.get(name, default)

    def flag(self, name: str, default: bool) -> bool:
        """Return a boolean argument."""
        value = self._values.get(name, default)
        if not isinstance(value, bool):
            self.refuse(name, "True or False")
        return value

    def choice(self, name: str, default: str | None, choices: Collection[str]) -> str:
        """Return an argument that is one of some words."""
        value = self._values.get(name, default)
        if not isinstance(value, str) or value not in choices:
            self.refuse(name, f"one of {sorted(choices)}")
        return value

    def count(self, name: str, value: object) -> int:
        """Check that a value, or a part of one, is a whole number of 1 to `MAX_SIDE`."""
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_SIDE:
            self.refuse(name, f"whole numbers above 0, at most {MAX_SIDE}")
        return value

    def area(self, name: str, height: float, width: float) -> None:
        """Check that two sides, `(height, width)` in pixels, are at most `MAX_AREA` together."""
        if max(height, width) > MAX_SIDE or height * width > MAX_AREA:
            self.refuse(name, f"sides of at most {MAX_SIDE} pixels, at most {MAX_AREA} together")

    def number(self, name: str, value: object) -> float:
        """Check that a value, or a part of one, is a number up to `LARGEST_NUMBER`."""
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not -LARGEST_NUMBER <= value <= LARGEST_NUMBER
        ):
            self.refuse(name, f"finite numbers up to {LARGEST_NUMBER:g}")
        return value

    def triple(self, name: str) -> tuple[float, float, float]:
        """Return an argument of three numbers, one per channel."""
        value = self._values.get(name)
        if not isinstance(value, list | tuple) or len(value) != 3:
            self.refuse(name, "three numbers, one per channel")
        first, second, third = (float(self.number(name, part)) for part in value)
        return first, second, third

    def pair(self, name: str, value: object) -> tuple[Any, Any]:
        """Check that a value, or a part of one, is a pair."""
        if not isinstance(value, list | tuple) or len(value) != 2:
            self.refuse(name, "two numbers")
        return value[0], value[1]
