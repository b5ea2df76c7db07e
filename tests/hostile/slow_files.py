"""Small files whose reading would take minutes where a step of it walked through all of them anew.

Each made the reader take half a minute or more before its work was counted.
"""

from tests.hostile.entries import Entry, rewritten

CONFIG_ERROR, UNREADABLE = "ConfigError", "UnreadableConfigError"


def _lines(parts, each=500):
    parts = list(parts)
    rows = (parts[first : first + each] for first in range(0, len(parts), each))
    return ",\n".join(map(",".join, rows))


def _names(letter, count):
    return _lines(f"{letter}{number}" for number in range(count))


def _repeated(expression, times=200_000):
    """An expression that is evaluated many times, for training data that no answer depends on."""
    text = f"data = dict(train=[{expression} for i in range({times})])"
    return f"{text}\ndata['test'] = dict(pipeline=test_pipeline)"


LONG = "_template" * 9000
"""Looks like the beginning of a template's name at every ninth letter."""

LONG_TEXT = "\n".join([LONG] * 20)

LOADED_CONFIGS = {
    "a target of thousands of names": _repeated(f"[1 for ({_names('a', 40_000)}) in ()]", 1000),
    "a refused tuple of thousands": _repeated(f"dict(a=(f(),\n{_lines(['1'] * 40_000)}))", 1000),
    "calls behind thousands of names": (
        f"q = (\n{_names('a', 20_000)},\n{_lines(['f()'] * 12_000)})"
    ),
}
"""Ends of configurations that load."""

REFUSED_CONFIGS = {
    "a tuple of thousands of names that is its own value": (
        f"(model,\n{_names('x', 15_000)}) = (\n{_names('x', 15_000)},\n1)",
        UNREADABLE,
    ),
    "thousands of star imports of thousands of names": (
        f"(model,\n{_names('y', 12_000)}) = (\n{_names('y', 12_000)},\n1)\n"
        + "from a import *\n" * 8000,
        CONFIG_ERROR,
    ),
    "thousands of calls in a loop over thousands of names": (
        f"q = [(\n{_lines(['f()'] * 8000)}) for q in (\n{_names('a', 20_000)})]\n"
        f"({_names('a', 10_000)}) = model",
        CONFIG_ERROR,
    ),
    "templates looked for in a long text": (
        "q = '{{ fileBasename }}'\n" + _repeated(f"1 if '''{LONG_TEXT}''' else 0"),
        CONFIG_ERROR,
    ),
    "templates looked for in a long name": (
        f"q = '{{{{ fileBasename }}}}'\n{LONG} = 1\n" + _repeated(LONG),
        CONFIG_ERROR,
    ),
    "a long list that loses its first element thousands of times": (
        "model = [0] * 200000\n" + "del model[0:1]\n" * 11_000,
        CONFIG_ERROR,
    ),
}
"""Ends of configurations that are refused, and by what."""


def _entries():
    for name, tail in LOADED_CONFIGS.items():
        yield Entry(f"slow config: {name}", rewritten(tail=tail), heavy=True)
    for name, (tail, error) in REFUSED_CONFIGS.items():
        yield Entry(f"slow config: {name}", rewritten(tail=tail), error, "line", heavy=True)


ENTRIES = list(_entries())
