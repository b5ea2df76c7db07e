"""Arithmetic and comparison of config values, as Python does them but within bounds.

All functions raise `RefusedValueError` for what is refused and Python's own errors (`TypeError`,
`ZeroDivisionError`, …) for what Python can't do either.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from modelscope_vitadapter.config.formatting import percent_format
from modelscope_vitadapter.config.limits import (
    MAX_INTEGER_BITS,
    MAX_LENGTH,
    Budget,
    RefusedValueError,
)
from modelscope_vitadapter.config.values import is_number, measure

_SEQUENCES = (str, list, tuple)
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Invert: operator.invert,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def checked_number(value: Any) -> Any:
    """Pass on an int or float.

    Raises:
        RefusedValueError: An integer of more than `MAX_INTEGER_BITS` bits, or a complex number.
    """
    if isinstance(value, complex):
        raise RefusedValueError("a complex number")
    if isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:
        raise RefusedValueError(f"an integer of more than {MAX_INTEGER_BITS} bits")
    return value


def binary(kind: type[ast.operator], left: Any, right: Any, budget: Budget) -> Any:
    """`left + right` and the like for numbers, strings, lists and tuples.

    Args:
        kind: Which operator, as Python's syntax tree names it.
        left: A config value.
        right: A config value.
        budget: Pays for the elements and characters of the result.
    """
    if kind not in _ARITHMETIC:
        raise RefusedValueError("this operator is not evaluated")
    if is_number(left) and is_number(right):
        if kind is ast.Pow:
            _check_power(left, right)
        return checked_number(_ARITHMETIC[kind](left, right))
    if kind is ast.Mod and isinstance(left, str):
        return percent_format(left, right, budget)
    if kind is ast.Add and isinstance(left, _SEQUENCES):
        if type(left) is not type(right):
            raise TypeError(f"{type(left).__name__} + {type(right).__name__} is no Python")
        _spend(left, len(left) + len(right), budget)
        return operator.add(left, right)
    if kind is ast.Mult:
        sequence, count = (left, right) if isinstance(left, _SEQUENCES) else (right, left)
        if isinstance(sequence, _SEQUENCES) and isinstance(count, int):
            _spend(sequence, len(sequence) * max(count, 0), budget)
            return sequence * count
    raise RefusedValueError(
        f"this operator is not evaluated on {type(left).__name__} and {type(right).__name__}"
    )


def _check_power(base: Any, exponent: Any) -> None:
    grows = isinstance(base, int) and isinstance(exponent, int) and exponent > 0
    if grows and abs(base) > 1 and (base.bit_length() - 1) * exponent > MAX_INTEGER_BITS:
        raise RefusedValueError(f"an integer of more than {MAX_INTEGER_BITS} bits")


def _spend(like: str | list[Any] | tuple[Any, ...], count: int, budget: Budget) -> None:
    if isinstance(like, str):
        budget.spend_characters(count)
    else:
        budget.spend_elements(count)


def augmented(kind: type[ast.operator], left: Any, right: Any, budget: Budget) -> Any:
    """`left += right` and the like; a list changes in place, as in Python.

    Args:
        kind: Which operator, as Python's syntax tree names it.
        left: The value of the target, changed where it is a list.
        right: A config value.
        budget: Pays for the elements and characters of the result.

    Returns:
        What the target is bound to afterwards.
    """
    if isinstance(left, list) and kind is ast.Add:
        if not isinstance(right, list | tuple | str | range | dict | set):
            raise TypeError(f"list += {type(right).__name__} is no Python")
        budget.spend_elements(len(left) + len(right))
        left += right
        return left
    if isinstance(left, list) and kind is ast.Mult and isinstance(right, int):
        budget.spend_elements(len(left) * max(right, 0))
        left *= right
        return left
    return binary(kind, left, right, budget)


def unary(kind: type[ast.unaryop], value: Any) -> Any:
    """`-value`, `+value` and `~value` for numbers."""
    if not is_number(value):
        raise TypeError(f"bad operand type for this operator: {type(value).__name__}")
    return checked_number(_UNARY[kind](value))


def compare(kind: type[ast.cmpop], left: Any, right: Any, budget: Budget) -> bool:
    """`left < right` and the like, `in`, and `is` with None, True or False.

    Args:
        kind: Which operator, as Python's syntax tree names it.
        left: A config value.
        right: A config value.
        budget: Pays for the elements that are looked at.
    """
    if kind in (ast.Is, ast.IsNot):
        if not any(value is None or isinstance(value, bool) for value in (left, right)):
            raise RefusedValueError("identity is only evaluated with None, True and False")
        return (left is right) is (kind is ast.Is)
    measure(left, budget)
    measure(right, budget)
    if kind in (ast.In, ast.NotIn):
        if isinstance(right, range):
            budget.spend(len(right))  # Python looks at each number when `left` is no integer
        return operator.contains(right, left) is (kind is ast.In)
    return bool(_COMPARISONS[kind](left, right))


def make_range(arguments: list[Any]) -> range:
    """`range(…)` of at most `MAX_LENGTH` numbers."""
    made = range(*arguments)
    # len() itself overflows on longer ones.
    if (made.stop - made.start) // made.step > MAX_LENGTH:
        raise RefusedValueError(f"a range of more than {MAX_LENGTH} numbers")
    return made
