"""How a value of a configuration appears in a message."""

from __future__ import annotations

_LENGTH = 200


def shown(value: object) -> str:
    """A value as Python writes it, of which no more than 200 characters are shown.

    Args:
        value: Any value of a configuration.
    """
    text = repr(value)
    return text if len(text) <= _LENGTH else f"{text[: _LENGTH - 1]}…"
