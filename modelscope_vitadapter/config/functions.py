"""The calls that a config file may hold: some of Python's own functions on plain values."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator
from typing import Any

from modelscope_vitadapter.config.limits import MAX_LENGTH, Budget, RefusedValueError
from modelscope_vitadapter.config.operators import binary, checked_number, make_range
from modelscope_vitadapter.config.unreadable import needed
from modelscope_vitadapter.config.values import check_keys, is_number, measure

ITERATORS = frozenset({"zip", "enumerate", "reversed"})
"""Functions whose result is evaluated only where something iterates over it."""

_MAX_DIGITS = 400


class Items:
    """What a generator expression, `zip` or the like gives: values to go through once."""

    def __init__(self, values: Iterator[Any]) -> None:
        self.values = values


def iterate(value: Any, budget: Budget) -> Iterator[Any]:
    """Go through a config value as `for` does.

    Args:
        value: A string, list, tuple, set, range, dictionary (its keys) or `Items`.
        budget: Pays for each item.

    Raises:
        TypeError: It is something else.
    """
    if isinstance(value, Items):
        return value.values
    if not isinstance(value, str | list | tuple | set | range | dict):
        raise TypeError(f"{type(value).__name__} cannot be iterated over")
    return _counted(iter(value), budget)


def _counted(values: Iterator[Any], budget: Budget) -> Iterator[Any]:
    for value in values:
        budget.spend(1)
        yield value


def collect(value: Any, budget: Budget) -> list[Any]:
    """The items of `value` as a list of at most `MAX_LENGTH`.

    Raises:
        TypeError: It can't be iterated over.
        RefusedValueError: There are more.
    """
    items: list[Any] = []
    for item in iterate(value, budget):
        items.append(item)
        if len(items) > MAX_LENGTH:
            raise RefusedValueError(f"more than {MAX_LENGTH} elements")
    return items


def _number(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _MAX_DIGITS:
        raise RefusedValueError(f"a number of more than {_MAX_DIGITS} digits")
    if not (is_number(value) or isinstance(value, str)):
        raise TypeError(f"{type(value).__name__} is no number")
    return value


def _int(budget: Budget, value: Any = 0) -> int:
    return int(checked_number(int(_number(value))))


def _float(budget: Budget, value: Any = 0.0) -> float:
    return float(_number(value))


def _str(budget: Budget, value: Any = "") -> str:
    measure(value, budget)
    text = str(value)
    budget.spend_characters(len(text))
    return text


def _bool(budget: Budget, value: Any = False) -> bool:
    return bool(value)


def _abs(budget: Budget, value: Any) -> Any:
    if not is_number(value):
        raise TypeError(f"{type(value).__name__} has no absolute value")
    return abs(value)


def _round(budget: Budget, value: Any, digits: Any = None) -> Any:
    if not is_number(value) or not isinstance(digits, int | None):
        raise TypeError("round() takes a number and a number of digits")
    if digits is not None and abs(digits) > _MAX_DIGITS:
        raise RefusedValueError(f"rounding to more than {_MAX_DIGITS} digits")
    return round(value, digits)


def _len(budget: Budget, value: Any) -> int:
    if not isinstance(value, str | list | tuple | set | range | dict):
        raise TypeError(f"{type(value).__name__} has no length")
    return len(value)


def _range(budget: Budget, *arguments: Any) -> range:
    return make_range(list(arguments))


def _list(budget: Budget, value: Any = ()) -> list[Any]:
    return collect(value, budget)


def _tuple(budget: Budget, value: Any = ()) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else tuple(collect(value, budget))


def _set(budget: Budget, value: Any = ()) -> set[Any]:
    items = collect(value, budget)
    measure(items, budget)
    check_keys(items)
    return set(items)


def _extreme(choose: Callable[..., Any]) -> Callable[..., Any]:
    def function(budget: Budget, *arguments: Any) -> Any:
        items = collect(arguments[0], budget) if len(arguments) == 1 else list(arguments)
        measure(items, budget)
        return choose(items)

    return function


def _sum(budget: Budget, value: Any, start: Any = 0) -> Any:
    if isinstance(start, str):
        raise TypeError("sum() can't sum strings")
    items = [needed(item) for item in collect(value, budget)]
    if is_number(start) and all(is_number(item) for item in items):
        return checked_number(sum(items, start))  # rounds better than adding up since Python 3.12
    total = start
    for item in items:
        total = binary(ast.Add, total, item, budget)
    return total


def _sorted(budget: Budget, value: Any, *, reverse: Any = False) -> list[Any]:
    items = collect(value, budget)
    measure(items, budget)
    return sorted(items, reverse=bool(reverse))


def _any(budget: Budget, value: Any) -> bool:
    return any(iterate(value, budget))


def _all(budget: Budget, value: Any) -> bool:
    return all(iterate(value, budget))


def _zip(budget: Budget, *values: Any) -> Items:
    return Items(zip(*(iterate(value, budget) for value in values), strict=False))


def _enumerate(budget: Budget, value: Any, start: Any = 0) -> Items:
    if not isinstance(start, int):
        raise TypeError("enumerate() starts at an integer")
    return Items(enumerate(iterate(value, budget), start))


def _reversed(budget: Budget, value: Any) -> Items:
    if not isinstance(value, str | list | tuple | range | dict):
        raise TypeError(f"{type(value).__name__} cannot be reversed")
    return Items(_counted(reversed(value), budget))


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": _abs,
    "all": _all,
    "any": _any,
    "bool": _bool,
    "enumerate": _enumerate,
    "float": _float,
    "int": _int,
    "len": _len,
    "list": _list,
    "max": _extreme(max),
    "min": _extreme(min),
    "range": _range,
    "reversed": _reversed,
    "round": _round,
    "set": _set,
    "sorted": _sorted,
    "str": _str,
    "sum": _sum,
    "tuple": _tuple,
    "zip": _zip,
}
_TAKE_ITEMS = frozenset(
    {"all", "any", "enumerate", "list", "max", "min", "set", "sorted", "sum", "tuple", "zip"}
)

FUNCTIONS = frozenset(_FUNCTIONS) | {"dict"}
"""Names of the functions that are evaluated; `dict` keeps its unevaluated keywords elsewhere."""

PYTHON_NAMES = frozenset(dir(builtins))
"""Names that Python defines by itself."""


def call(name: str, arguments: list[Any], keywords: dict[str, Any], budget: Budget) -> Any:
    """Call one of `FUNCTIONS` but `dict`.

    Args:
        name: The function.
        arguments: Config values, `Items` among them where the function iterates.
        keywords: `start` of `enumerate` and `sum`, `reverse` of `sorted`.
        budget: Pays for what is made.

    Raises:
        TypeError, ValueError, OverflowError: As Python's function does.
        RefusedValueError: A keyword that isn't evaluated, or a result that is too large.
    """
    known = {"enumerate": {"start"}, "sum": {"start"}, "sorted": {"reverse"}}.get(name, set())
    if not known.issuperset(keywords):
        raise RefusedValueError(f"{name}() is not evaluated with {', '.join(keywords)}")
    takers = arguments if name == "zip" else arguments[:1]
    misplaced = arguments[len(takers) :] if name in _TAKE_ITEMS else arguments
    if name in {"max", "min"} and len(arguments) > 1:
        misplaced = arguments
    if any(isinstance(value, Items) for value in (*misplaced, *keywords.values())):
        raise TypeError(f"{name}() takes no iterator there")
    return _FUNCTIONS[name](budget, *arguments, **keywords)
