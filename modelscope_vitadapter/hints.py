"""Options in messages, as they are typed where the person is: a keyword or on the command line."""

from collections.abc import Iterator
from contextlib import contextmanager

_on_command_line = False


@contextmanager
def on_command_line() -> Iterator[None]:
    """Has messages name options of the command line in place of Python's keywords."""
    global _on_command_line
    before, _on_command_line = _on_command_line, True
    try:
        yield
    finally:
        _on_command_line = before


def option(name: str, value: object = None) -> str:
    """An option as it is typed: `label_ids='as-is'` in Python, `--label-ids as-is` in a shell.

    Args:
        name: the keyword; the command line has hyphens for its underscores.
        value: what is given; True for a switch, a tuple or list for several values, None where the
            person has to choose one.
    """
    if not _on_command_line:
        return f"{name}=" if value is None else f"{name}={value!r}"
    typed = "--" + name.replace("_", "-")
    if value is None or value is True:
        return typed
    values = value if isinstance(value, tuple | list) else (value,)
    return " ".join([typed, *map(str, values)])


def either(keyword: str, typed: str) -> str:
    """What is typed in Python, or on the command line, where the two have other names."""
    return typed if _on_command_line else keyword
