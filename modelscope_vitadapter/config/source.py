"""One config file: its text within bounds, its statements, and errors that point into it."""

import ast
import sys
from pathlib import Path

from modelscope_vitadapter.errors import ConfigNotFoundError, UnreadableConfigError
from modelscope_vitadapter.validation import shorten

MAX_STEPS = 400_000  # of one config, for all its files: what `Steps` counts
FILE_STEPS = 10_000  # that each file takes beside its characters
MAX_CHARACTERS = 1 << (18 if sys.version_info >= (3, 11) else 16)
"""Of a file. Before 3.11 Python's parser puts no bound on nesting, and overflows."""

TRUST_HINT = (
    "If you trust who made this directory, trust_remote_code=True has mmengine execute the file "
    "instead."
)


class Steps:
    """Counts the work of one config: text read, expressions evaluated, items made and copied."""

    def __init__(self) -> None:
        self._left = MAX_STEPS

    def take(self, count: int) -> None:
        """Counts steps that are about to be done; `OverflowError` where so many are not left."""
        if count > self._left:
            raise OverflowError("more text and values than a config may have")
        self._left -= max(count, 0)


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


def assignment(statement: ast.stmt) -> tuple[str, ast.expr] | None:
    """Name and value of `name = value`; None for any other statement."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return name, value
    return None
