"""One config file: its text within bounds, its statements, and errors that point into it."""

import ast
import sys
from pathlib import Path

from modelscope_vitadapter.errors import ConfigNotFoundError, UnreadableConfigError
from modelscope_vitadapter.validation import shorten

MAX_STEPS = 400_000  # of one config, for all its files: what `Steps` counts
FILE_STEPS = 10_000  # that each file takes beside its characters
MAX_ITEMS = 100_000  # items or characters of one value that an expression makes
MAX_CHARACTERS = 1 << (18 if sys.version_info >= (3, 11) else 16)
"""Of a file. Before 3.11 Python's parser puts no bound on nesting, and overflows."""

TRUST_HINT = (
    "If you trust who made this directory, trust_remote_code=True has mmengine execute the file "
    "instead."
)


class Steps:
    """Counts the work of one config: text read, expressions evaluated, items made and copied."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._left = MAX_STEPS

    def take(self, count: int) -> None:
        """Counts steps; once there were too many, `UnreadableConfigError` each time."""
        self._left -= count
        if self._left < 0:
            raise UnreadableConfigError(
                f"{self._path}: the config is too long, makes too many values, or has too many "
                f"_base_ files, perhaps in a circle. Simplify it. {TRUST_HINT}"
            )

    def make(self, count: int) -> None:
        """Counts the items of a value before it is made; `ValueError` where they are too many."""
        if count > MAX_ITEMS:
            raise ValueError(f"more than {MAX_ITEMS} items or characters")
        self.take(max(count, 0))


class Source:
    """A parsed config file with its `path` and `statements`.

    Raises `ConfigNotFoundError`, or `UnreadableConfigError` where it is no regular file of UTF-8
    text that Python can parse, or too long.
    """

    def __init__(self, path: Path, steps: Steps) -> None:
        self.path = path
        try:
            text = _read(path)
            self.statements = ast.parse(text).body
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigNotFoundError(
                f"{path} does not exist. A model directory needs its mmcv_config.py and the files "
                "that it names in _base_: download it again or correct the path."
            ) from None
        except SyntaxError as error:
            place = f"{path}, line {error.lineno or 1}"
            line = shorten((error.text or "").strip())
            raise UnreadableConfigError(f"{place}: {error.msg}: `{line}`. {TRUST_HINT}") from None
        except (OSError, ValueError, MemoryError, RecursionError) as error:
            problem = shorten(str(error)) or "it is nested too deeply"
            raise UnreadableConfigError(
                f"{str(path)[:1000]!r} can't be read as Python text in UTF-8: {problem}. "
                f"{TRUST_HINT}"
            ) from None
        steps.take(FILE_STEPS + len(text))
        self._lines = text.encode().split(b"\n")
        self._templates = {n for n, line in enumerate(self._lines, start=1) if b"{{" in line}

    def assigned_name(self, statement: ast.stmt) -> str | None:
        """The name in `name = value`; None for other statements, and where `{{` is in the text.

        Such templates of mmcv, `{{ fileDirname }}` or `{{ _base_.x }}`, are not replaced.
        """
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], lineno=first, end_lineno=int(last)):
                return name if self._templates.isdisjoint(range(first, last + 1)) else None
        return None

    def error(self, node: ast.expr | ast.stmt, problem: str) -> UnreadableConfigError:
        """The error for a part of the file that isn't read, with the first line of its text."""
        end = node.end_col_offset if node.end_lineno == node.lineno else None
        text = self._lines[node.lineno - 1][node.col_offset : end].decode("utf-8", "ignore")
        return UnreadableConfigError(
            f"{self.path}, line {node.lineno}: {problem}: `{shorten(text)}`. Write `name = value` "
            f"with literals, dict(...), names and arithmetic. {TRUST_HINT}"
        )


def _read(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise ValueError("it is not a regular file")
    with path.open(encoding="utf-8-sig") as file:
        text = file.read(MAX_CHARACTERS + 1)
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it has more than {MAX_CHARACTERS} characters")
    return text
