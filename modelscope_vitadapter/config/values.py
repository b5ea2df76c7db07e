"""What a config value can be, and how large one is when written out in full."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from modelscope_vitadapter.config.limits import (
    MAX_FULL_CHARACTERS,
    MAX_FULL_SIZE,
    MAX_UNUSUAL_KEYS,
    MAX_VALUE_DEPTH,
    Budget,
    RefusedValueError,
)
from modelscope_vitadapter.config.unreadable import Unreadable

CONTAINERS = (dict, list, tuple, set)
MUTABLE = (dict, list, set)


def is_number(value: object) -> bool:
    """Whether a value is an int, float or bool."""
    return isinstance(value, int | float)


def measure(value: Any, budget: Budget, *, allow_unreadable: bool = False) -> None:
    """Check that a value can be compared, written, copied or hashed in little time.

    Values can share objects or hold themselves, so that few statements make one whose full form has
    2 ** 50 elements or no end.

    Args:
        value: A config value.
        budget: Pays for every element of the full form.
        allow_unreadable: Whether the value may hold `Unreadable`s.

    Raises:
        RefusedValueError: The full form has more than `MAX_FULL_SIZE` elements, more than
            `MAX_FULL_CHARACTERS` in strings, or more than `MAX_VALUE_DEPTH` levels, as a value that
            holds itself has.
        ConfigError: It holds an `Unreadable`.
    """
    pending = [(value, 0)]
    seen = characters = 0
    while pending:
        item, depth = pending.pop()
        seen += 1
        characters += len(item) if isinstance(item, str) else 0
        if characters > MAX_FULL_CHARACTERS:
            raise RefusedValueError(
                f"a value of more than {MAX_FULL_CHARACTERS} characters in full"
            )
        budget.spend(1 + (len(item) >> 4) if isinstance(item, str) else 1)
        if isinstance(item, Unreadable) and not allow_unreadable:
            raise item.error
        if not isinstance(item, CONTAINERS):
            continue
        if depth >= MAX_VALUE_DEPTH:
            raise RefusedValueError("a value that is nested too deeply or holds itself")
        if seen + len(pending) + len(item) > MAX_FULL_SIZE:
            raise RefusedValueError(f"a value of more than {MAX_FULL_SIZE} elements in full")
        if isinstance(item, dict):
            pending += [(key, depth + 1) for key in item]
            pending += [(entry, depth + 1) for entry in item.values()]
        else:
            pending += [(entry, depth + 1) for entry in item]


class BaseDict(dict[Any, Any]):
    """A dictionary of the values of base files.

    mmengine hands them on in dictionaries that copy what is put into them, see `as_base_value`.
    """


def as_base_value(value: Any, budget: Budget) -> Any:
    """What mmengine stores of a value that is put into a dictionary of the base files.

    Lists, tuples and plain dictionaries are copied, so that no two places hold one of them;
    dictionaries of base files stay as they are.

    Args:
        value: A config value; it may hold `Unreadable`s.
        budget: Pays for each element.

    Raises:
        RefusedValueError: As `measure` does.
    """
    measure(value, budget, allow_unreadable=True)
    return _copied(value)


def _copied(value: Any) -> Any:
    if type(value) is dict:
        return BaseDict((key, _copied(entry)) for key, entry in value.items())
    if isinstance(value, list | tuple):
        return type(value)(map(_copied, value))
    return value


def _is_unusual(key: Any) -> bool:
    """Whether other keys can be chosen that have the same hash."""
    if isinstance(key, int):
        return abs(key) >= sys.hash_info.modulus
    return isinstance(key, tuple | range)


def check_keys(keys: Iterable[Any]) -> None:
    """Refuse keys that could all have the same hash: with many, a single look-up takes seconds.

    Args:
        keys: Elements of a set or keys of a dictionary, hashable.

    Raises:
        RefusedValueError: More than `MAX_UNUSUAL_KEYS` are tuples, ranges or long integers.
    """
    if sum(map(_is_unusual, keys)) > MAX_UNUSUAL_KEYS:
        raise RefusedValueError(
            f"more than {MAX_UNUSUAL_KEYS} tuples or long integers in a set or as keys"
        )


def add_entries(made: dict[Any, Any], entries: Iterable[tuple[Any, Any]], budget: Budget) -> None:
    """Put entries into a dictionary, one after the other.

    Args:
        made: Changed in place.
        entries: Pairs of a hashable key and a value.
        budget: Pays for counting the keys.

    Raises:
        RefusedValueError: As `check_keys` of all keys.
    """
    unusual: list[Any] | None = None
    for key, value in entries:
        if _is_unusual(key):
            if unusual is None:
                budget.spend(len(made))
                unusual = [each for each in made if _is_unusual(each)]
            unusual.append(key)
            check_keys(unusual)
        made[key] = value
