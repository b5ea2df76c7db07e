"""Values that callers and files give: checked, and shown in messages without flooding them."""

from __future__ import annotations

from collections.abc import Sequence

from modelscope_vitadapter.hints import either, option

LONGEST_NAME = 120
"""Characters after which a path, address or representation is cut in the middle."""

LONGEST_VALUE = 200
"""Characters after which a value of a file is cut at its end."""

DTYPE_NAMES = {
    **dict.fromkeys(("float32", "float", "fp32"), "float32"),
    **dict.fromkeys(("bfloat16", "bf16"), "bfloat16"),
    **dict.fromkeys(("float16", "half", "fp16"), "float16"),
}
"""What a number type may be called, and its name in PyTorch."""

LISTED = 20
"""Items of a list that a message shows."""


def parse_count(name: str, value: object) -> int:
    """Reads a count of at least 1; ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{option(name, value)}: expected a whole number of at least 1")
    return value


def parse_dtype_name(value: object) -> str:
    """Reads `torch_dtype`, a name or a `torch.dtype`; None means float32.

    Returns:
        `float32`, `bfloat16` or `float16`; ValueError for anything else.
    """
    name = "float32" if value is None else str(value).removeprefix("torch.").lower()
    if name not in DTYPE_NAMES:
        given = either(f"torch_dtype={value!r}", f"--dtype {value}")
        raise ValueError(
            f"{given}: expected 'float32', 'bfloat16' or 'float16', as str or torch.dtype"
        )
    return DTYPE_NAMES[name]


def parse_flag(name: str, value: object) -> bool:
    """Reads True or False, numpy's included; ValueError for anything else."""
    if not isinstance(value, bool) and type(value).__name__ not in ("bool", "bool_"):
        raise ValueError(f"{name}={value!r}: expected True or False")
    return bool(value)


def shown(value: object) -> str:
    """A value as Python writes it, of which no more than 200 characters are shown."""
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def shorten(text: str) -> str:
    """Cuts a long text in the middle, so that its beginning and its end stay readable."""
    if len(text) <= LONGEST_NAME:
        return text
    half = (LONGEST_NAME - 3) // 2
    return f"{text[:half]}...{text[-half:]}"


def listing(items: Sequence[str], separator: str = ", ") -> str:
    """Joins items, the first 20 of them followed by a count of the others.

    Of each item no more than 200 characters are shown.
    """
    joined = separator.join(item[:LONGEST_VALUE] for item in items[:LISTED])
    more = len(items) - LISTED
    return joined if more <= 0 else f"{joined}{separator}... and {more} more"
