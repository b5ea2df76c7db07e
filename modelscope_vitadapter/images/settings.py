"""Reading the arguments of one transform of a test pipeline."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from modelscope_vitadapter.config.unreadable import needed
from modelscope_vitadapter.errors import ConfigError


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
                f"test pipeline: {config!r} is no transform, expected a dict with a 'type'"
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
                f"test pipeline: {self.type} has unknown argument(s) {unknown}, expected "
                f"some of {sorted(names)}"
            )

    def refuse(self, name: str, expected: str) -> NoReturn:
        """Raise an error that names the argument, its value and what was expected."""
        raise ConfigError(
            f"test pipeline: {self.type} has {name}={self._values.get(name)!r}, expected {expected}"
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
        """Check that a value, or a part of one, is a whole number above 0."""
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            self.refuse(name, "whole numbers above 0")
        return value

    def number(self, name: str, value: object) -> float:
        """Check that a value, or a part of one, is a finite number."""
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            self.refuse(name, "finite numbers")
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
