"""mmcv's `{{ … }}` templates: found in the text, kept as names until they are evaluated.

mmcv replaces them in the text before Python parses it: `{{ fileDirname }}` and its like by the bare
text, `{{ _base_.x }}` by a quoted mark. Here each becomes a name that occurs nowhere else, so that
a directory called `'` cannot change what the file says, and is given its value when the name, or a
string that holds it, is evaluated.
"""

from __future__ import annotations

import re
from pathlib import Path

_TEMPLATE = re.compile(
    r"\{\{\s*(fileDirname|fileBasenameNoExtension|fileBasename|fileExtname|_base_\.[\w.]+)\s*\}\}"
)

_TAKEN = re.compile(r"(?=_template(\d{1,9})_)")
"""Numbers of names that the text has already; each place is looked at, since names can overlap."""


class Templates:
    """The templates of one file.

    Attributes:
        text: The file's text with a name in place of each template.
        file_values: Value of each name that stands for part of the file's path.
        base_paths: For each name that stands for a value of the base files, the keys that lead
            there.
    """

    def __init__(self, text: str, path: Path) -> None:
        taken = {int(digits) for digits in _TAKEN.findall(text)}
        number = next(number for number in range(len(taken) + 1) if number not in taken)
        self._prefix = f"_template{number}_"
        self._name = re.compile(rf"{self._prefix}\d+_")
        self._names: dict[str, str] = {}
        self._originals: dict[str, str] = {}
        self.text = _TEMPLATE.sub(self._replace, text)
        parts = {
            "fileDirname": str(path.parent),
            "fileBasename": path.name,
            "fileBasenameNoExtension": path.stem,
            "fileExtname": path.suffix,
        }
        self.file_values: dict[str, str] = {}
        self.base_paths: dict[str, tuple[str, ...]] = {}
        for inner, name in self._names.items():
            if inner in parts:
                self.file_values[name] = parts[inner].replace("\\", "/")
            else:
                self.base_paths[name] = tuple(inner.split(".")[1:])

    def _replace(self, match: re.Match[str]) -> str:
        inner = match.group(1)
        name = self._names.setdefault(inner, f"{self._prefix}{len(self._names)}_")
        self._originals.setdefault(name, match.group())
        return name

    def names_in(self, text: str) -> list[str]:
        """The names that stand for templates in a string or identifier of the parsed text."""
        return self._name.findall(text) if self._names and self._prefix in text else []

    def split(self, text: str) -> list[str]:
        """Cut a string into template names and what is between them, without empty pieces."""
        if not self.names_in(text):
            return [text]
        return [piece for piece in re.split(f"({self._name.pattern})", text) if piece]

    def restore(self, text: str) -> str:
        """Put the templates back, for messages."""
        return self._name.sub(lambda match: self._originals.get(match.group(), ""), text)
