"""Files that say which colour stands for which class in label maps of colours."""

import json
import re
from pathlib import Path
from typing import Any

from modelscope_vitadapter.datasets.label_ids import IGNORED
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from modelscope_vitadapter.validation import shown

COLOUR = re.compile(r"(?<!\d)(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})(?!\d)")
HEXADECIMAL = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})\b")

IGNORED_NAMES = ("ignore", "__ignore__", "void", "ignored")
"""Names of colours whose pixels are not counted."""

Palette = tuple[tuple[str, ...], tuple[tuple[int, int, int, int], ...]]
"""Names of the classes, and `(R, G, B, id)` of each colour."""


def read_palette(path: Path) -> Palette:
    """Reads a file of colours: class ids follow the order of its lines.

    A line holds a colour, as three numbers from 0 to 255 or `#RRGGBB`, before or behind a name:
    `road 128 64 128`, `name,r,g,b` below a heading, CVAT's `road:128,64,128::`. JSON may have a
    colour by name, or a list of colours. Pixels of a colour called `ignore` or `void` are not
    counted. A name may come more than once.

    Raises:
        DataSetNotFoundError: there is no such file.
        DataSetError: a line can't be read, or a colour comes twice.
    """
    if not path.is_file():
        raise DataSetNotFoundError(f"palette {str(path)!r}: there is no such file")
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    try:
        entries = _json_entries(text) if path.suffix.lower() == ".json" else _line_entries(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise DataSetError(
            f"palette {str(path)!r} can't be read ({error}); expected a colour and a name in each "
            "line, such as 'road 128 64 128', or JSON such as {\"road\": [128, 64, 128]}"
        ) from error
    names: list[str] = []
    colours: dict[tuple[int, int, int], int] = {}
    for name, colour in entries:
        if colour in colours:
            raise DataSetError(f"palette {str(path)!r}: the colour {colour} comes twice")
        name = name or f"class {len(names)}"
        if name.lower() in IGNORED_NAMES:
            colours[colour] = IGNORED
            continue
        if name not in names:
            names.append(name)
        colours[colour] = names.index(name)
    if not names:
        raise DataSetError(f"palette {str(path)!r} has no colours")
    return tuple(names), tuple((*colour, number) for colour, number in colours.items())


def _line_entries(text: str) -> list[tuple[str, tuple[int, int, int]]]:
    found: list[tuple[str, tuple[int, int, int]]] = []
    for number, line in enumerate(text.splitlines()):
        code, plain = HEXADECIMAL.search(line), COLOUR.search(line)
        if not line.strip() or (line.lstrip().startswith("#") and not code):
            continue
        match, base = (code, 16) if code else (plain, 10)
        if match is None:
            if found or number:
                raise ValueError(f"line {number + 1} has no colour: {shown(line)}")
            continue  # a heading
        before, behind = (
            part.strip(" \t,;:\"'") for part in (line[: match.start()], line[match.end() :])
        )
        if re.search(r"\d$", before) or re.match(r"\d+\b", behind):
            raise ValueError(f"line {number + 1} has more than three numbers: {shown(line)}")
        found.append((before or behind, _checked([int(part, base) for part in match.groups()])))
    return found


def _json_entries(text: str) -> list[tuple[str, tuple[int, int, int]]]:
    content: Any = json.loads(text)
    items = content.items() if isinstance(content, dict) else (("", one) for one in content)
    return [(str(name), _checked(colour)) for name, colour in items]


def _checked(values: Any) -> tuple[int, int, int]:
    red, green, blue = values
    if not all(isinstance(one, int) and 0 <= one <= 255 for one in (red, green, blue)):
        raise ValueError(f"{shown(values)} is no colour; expected three numbers from 0 to 255")
    return red, green, blue
