"""Tables in text files: a row has the paths of a picture and of its label map."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.images.naming import is_url

SUFFIXES = (".csv", ".jsonl")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read a table: CSV with names in its first line, or a JSON object in each line.

    Args:
        path: The file, in UTF-8. Paths in it are relative to its folder.

    Returns:
        The rows.

    Raises:
        DataSetError: The file can't be read as such a table.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".csv":
            rows: list[Any] = list(csv.DictReader(text.splitlines()))
        else:
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (OSError, ValueError, csv.Error, RecursionError) as error:
        raise DataSetError(
            f"{str(path)!r} can't be read as a table ({type(error).__name__}: {error}); expected "
            "UTF-8, CSV with column names in the first line, or a JSON object in each line"
        ) from error
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or None in row:
            raise DataSetError(
                f"{str(path)!r}: row {number} (counted from 0) does not fit the columns"
            )
    return [{name: _placed(value, path.parent) for name, value in row.items()} for row in rows]


def _placed(value: Any, folder: Path) -> Any:
    """A path relative to the table's folder; what is no such path stays as it is."""
    if not isinstance(value, str) or not value or is_url(value) or "\0" in value:
        return value
    return str(folder / value) if Path(value).suffix else value
