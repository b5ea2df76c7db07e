"""One config file: its text, its syntax tree, and refusals that point into it."""

from __future__ import annotations

import ast
import io
import stat
import tokenize
from pathlib import Path

from modelscope_vitadapter.config.limits import MAX_FILE_BYTES, Budget, RefusedValueError
from modelscope_vitadapter.config.nesting import check_nesting
from modelscope_vitadapter.config.templates import Templates
from modelscope_vitadapter.errors import ConfigError, ConfigNotFoundError

TRUST_HINT = (
    "If you trust who made this directory, trust_remote_code=True has mmengine execute the file "
    "instead."
)
REMEDY = (
    "A config may hold literals, dict(...), list, tuple, range, len, names, subscripts, "
    "arithmetic, f-strings, unpacking, comprehensions and conditional expressions: write it "
    "with these."
)
_EXCERPT = 120
_ENCODINGS = {"utf-8", "utf-8-sig", "iso-8859-1", "ascii", "us-ascii", "gbk", "gb2312", "gb18030"}


def refusal(place: str, problem: str, remedy: str = "") -> ConfigError:
    """The error for something that isn't read.

    Args:
        place: File and, where there is one, line.
        problem: What is refused and why.
        remedy: What to write instead, as a sentence.
    """
    return ConfigError(
        " ".join(part for part in (f"{place}: {problem}.", remedy, TRUST_HINT) if part)
    )


class Source:
    """A parsed config file.

    Attributes:
        path: The file.
        templates: Its `{{ … }}` templates.
        tree: Its syntax tree, in which names stand for the templates.

    Raises:
        ConfigNotFoundError: There is no such file.
        ConfigError: It is no regular file, larger than the budget allows, in another encoding,
            nested too deeply, or not valid Python.
    """

    def __init__(self, path: Path, budget: Budget) -> None:
        self.path = path
        data = _read(path, budget.bytes)
        budget.bytes -= len(data)
        text = _decode(data, path)
        self.templates = Templates(text, path)
        self._lines = self.templates.text.encode("utf-8").split(b"\n")
        self.tree = self._parse(self.templates.text, budget)

    def _parse(self, text: str, budget: Budget) -> ast.Module:
        try:
            budget.tokens -= check_nesting(text, budget.tokens)
            return ast.parse(text, filename=str(self.path))
        except RefusedValueError as error:
            raise refusal(str(self.path), str(error), "Split it up.") from None
        except SyntaxError as error:
            line = error.lineno or 1
            problem = f"not valid Python ({error.msg}): `{self._excerpt(line, 0)}`"
            raise refusal(f"{self.path}, line {line}", problem) from None
        except tokenize.TokenError as error:
            line = error.args[1][0]
            problem = f"not valid Python ({error.args[0]}): `{self._excerpt(line, 0)}`"
            raise refusal(f"{self.path}, line {line}", problem) from None
        except (ValueError, RecursionError, MemoryError, OverflowError) as error:
            problem = f"Python's parser fails on it ({type(error).__name__}: {error})"
            raise refusal(str(self.path), problem, "Simplify it.") from None

    def _excerpt(self, line: int, column: int, end: int | None = None) -> str:
        """Up to 120 characters of one line; columns count UTF-8 bytes, as in syntax trees."""
        whole = self._lines[min(line, len(self._lines)) - 1]
        end = len(whole) if end is None else end
        raw = whole[column : min(end, column + 4 * _EXCERPT)].decode("utf-8", "ignore")
        shown = self.templates.restore(raw).strip()
        return shown if len(shown) <= _EXCERPT else shown[: _EXCERPT - 1] + "…"

    def text_of(self, node: ast.expr | ast.stmt) -> str:
        """The text of a node, its first line only, shortened to 120 characters."""
        one_line = node.end_lineno == node.lineno
        shown = self._excerpt(
            node.lineno, node.col_offset, node.end_col_offset if one_line else None
        )
        return shown if one_line or shown.endswith("…") else f"{shown} …"

    def refusal(self, node: ast.expr | ast.stmt, problem: str, remedy: str = "") -> ConfigError:
        """The error for a part of this file that isn't evaluated.

        Args:
            node: The part.
            problem: What is refused and why, without the text.
            remedy: What to write instead, as a sentence.
        """
        problem = f"{problem}: `{self.text_of(node)}`"
        return refusal(f"{self.path}, line {node.lineno}", problem, remedy)


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigNotFoundError(
            f"{path} does not exist. A model directory needs its mmcv_config.py and the files that "
            "it names in _base_: download it again or correct the path."
        ) from None
    except (OSError, ValueError) as error:
        raise refusal(repr(str(path)), f"cannot be opened ({error})") from None
    if not stat.S_ISREG(mode):
        raise refusal(str(path), "not a regular file", "Give the path of a Python file.")
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise refusal(str(path), f"cannot be read ({error})") from None
    if len(data) > max_bytes:
        raise refusal(
            str(path),
            f"too large: the files of a config may hold {MAX_FILE_BYTES} bytes together",
            "Remove what the model does not need.",
        )
    return data


def _decode(data: bytes, path: Path) -> str:
    r"""Text with `\n` at line ends; UTF-8, or what a PEP 263 line of the file declares."""
    if b"\0" in data:
        raise refusal(str(path), "null bytes, so this is no Python text", "Save it as UTF-8.")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        if encoding not in _ENCODINGS:
            raise refusal(str(path), f"encoding {encoding} is not read", "Save it as UTF-8.")
        text = data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise refusal(str(path), f"cannot be decoded ({error})", "Save it as UTF-8.") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")
