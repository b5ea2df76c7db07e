"""Messages of the command line, in English or Chinese.

The catalogue maps English texts to Chinese ones; what it lacks is said in English.
"""

import json
import os
import sys
from functools import cache
from pathlib import Path

LANGUAGES = ("en", "zh")

_CATALOGUE = Path(__file__).with_name("zh.json")

_chosen: str | None = None


def choose(language: str | None) -> None:
    """Chooses `en` or `zh`; None for what the environment says."""
    global _chosen
    _chosen = language


def chosen() -> str:
    """The language: chosen, or by `LC_ALL`, `LC_MESSAGES` or `LANG`."""
    if _chosen is not None:
        return _chosen
    names = (os.environ.get(one, "") for one in ("LC_ALL", "LC_MESSAGES", "LANG"))
    name = next((one for one in names if one), "")
    return "zh" if name.lower().startswith("zh") else "en"


@cache
def _chinese() -> dict[str, str]:
    texts: dict[str, str] = json.loads(_CATALOGUE.read_text(encoding="utf-8"))
    return texts


def translated(text: str) -> str:
    """A text in the chosen language."""
    return _chinese().get(text, text) if chosen() == "zh" else text


def say(text: str, **values: object) -> None:
    """Writes a line to standard error: a text of the catalogue with values in it."""
    sys.stderr.write(translated(text).format(**values) + "\n")
