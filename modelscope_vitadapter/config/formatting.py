"""f-strings and `'…' % value`, with bounds on what a format may ask for."""

from __future__ import annotations

import re
from typing import Any

from modelscope_vitadapter.config.limits import (
    MAX_FORMAT_WIDTH,
    MAX_STRING,
    Budget,
    RefusedValueError,
)
from modelscope_vitadapter.config.values import CONTAINERS, is_number, measure

_SPECIFICATION = re.compile(
    r"(?:.?[<>=^])?[-+ ]?z?#?0?(?P<width>\d*)[,_]?(?:\.(?P<precision>\d+))?[bcdeEfFgGosxX%]?",
    re.DOTALL,
)
_PERCENT = re.compile(
    r"%(?:\([^()]*\))?[#0\- +]*(?P<width>\*|\d*)(?:\.(?P<precision>\*|\d*))?[hlL]?(?P<kind>.?)",
    re.DOTALL,
)


def _check_width(digits: str | None) -> None:
    if digits and (not digits.isdecimal() or len(digits) > 6 or int(digits) > MAX_FORMAT_WIDTH):
        raise RefusedValueError(f"a format wider than {MAX_FORMAT_WIDTH}")


def format_value(value: Any, conversion: int, specification: str, budget: Budget) -> str:
    """The text of one `{value!r:specification}` of an f-string.

    Args:
        value: A config value.
        conversion: Code point of `r`, `s` or `a`; -1 for none.
        specification: What follows the colon, empty for nothing.
        budget: Pays for the characters.

    Raises:
        RefusedValueError: The specification isn't one of Python's for strings and numbers, or asks
            for more than `MAX_FORMAT_WIDTH` characters.
        ValueError: It doesn't fit the value.
    """
    match = _SPECIFICATION.fullmatch(specification)
    if match is None:
        raise RefusedValueError("this format is not evaluated")
    _check_width(match["width"])
    _check_width(match["precision"])
    measure(value, budget)
    if conversion == ord("r"):
        value = repr(value)
    elif conversion == ord("a"):
        value = ascii(value)
    elif conversion == ord("s") or isinstance(value, (*CONTAINERS, range)):
        if conversion == -1 and specification:
            raise TypeError(f"a {type(value).__name__} takes no format")
        value = str(value)
    text = format(value, specification)
    budget.spend_characters(len(text))
    return text


def percent_format(template: str, values: Any, budget: Budget) -> str:
    """`template % values`.

    Args:
        template: Text with `%d`, `%(name)s` and the like.
        values: One value, a tuple of values, or a dict for names.
        budget: Pays for the characters.

    Raises:
        RefusedValueError: A width is not written out or above `MAX_FORMAT_WIDTH`, or the result
            could be longer than `MAX_STRING`.
        TypeError, ValueError, KeyError: The values don't fit the template.
    """
    count = 0
    for match in _PERCENT.finditer(template):
        if match["kind"] not in tuple("diouxXeEfFgGcrsa%"):
            raise RefusedValueError("this format is not evaluated")
        _check_width(match["width"])
        _check_width(match["precision"])
        count += 1
    measure(values, budget)
    # Every place may show the whole of the values, a character as at most ten ('\U0001f600').
    shown = 10 * len(str(values)) + 2 * MAX_FORMAT_WIDTH
    if count * shown > 10 * MAX_STRING:
        raise RefusedValueError(f"a string of possibly more than {MAX_STRING} characters")
    if is_number(values) or values is None:
        values = (values,)
    text: str = template % values
    budget.spend_characters(len(text))
    return text
