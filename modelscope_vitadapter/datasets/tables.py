"""Tables: a row has an image and its label map, or the paths of them."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from modelscope_vitadapter.hints import option
from modelscope_vitadapter.images.naming import describe, is_url

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl")
"""Of tables in files."""

IMAGES = ("image", "img", "imagepath", "picture", "photo", "inputimage", "input", "pixelvalues")
LABELS = (
    *("label", "labels", "labelmap", "annotation", "annotations", "mask", "segmentation"),
    *("segmentationmask", "semanticsegmentation", "segmap", "gtsemanticseg", "outputimage"),
    *("labelpath", "maskpath", "target"),
)
"""Usual names of columns, in lower case without `_`, `-`, spaces and ModelScope's `:FILE`."""


@dataclass(frozen=True)
class TablePairs:
    """The pairs in a table; each row is read when it is asked for."""

    rows: Any  # the table: an `MsDataset`, a Hugging Face dataset, a list of dicts
    image: str  # name of the column
    label: str

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[object, object]:
        row = _checked_row(self.rows, index)
        for column in (self.image, self.label):
            if isinstance(row.get(column), str | None) and not row.get(column):
                raise DataSetError(f"row {index} (counted from 0) has nothing in {column!r}")
        return row[self.image], row[self.label]

    @property
    def fingerprint(self) -> str | None:
        """What a table of Hugging Face says of its content; None of others, whose rows tell.

        Of paths it says nothing of the files' sizes: then rows tell, too.
        """
        row = _checked_row(self.rows, 0)
        if any(_is_path(row.get(column)) for column in (self.image, self.label)):
            return None
        table = getattr(self.rows, "ds_instance", self.rows)  # an MsDataset wraps another table
        known = getattr(table, "_fingerprint", None)
        return f"{known} {self.image} {self.label}" if isinstance(known, str) else None


def _is_path(value: Any) -> bool:
    if isinstance(value, Mapping):
        return value.get("bytes") is None
    return isinstance(value, str)


def table_pairs(rows: Any, image: str | None, label: str | None, name: str) -> TablePairs:
    """The pairs in a table that messages call `name`; columns that are None are guessed.

    Raises:
        DataSetError: there are no rows, a column is not there, or none or several can be it.
    """
    if len(rows) == 0:
        raise DataSetError(f"{name} is empty: expected at least one row")
    columns = getattr(getattr(rows, "ds_instance", rows), "column_names", None)
    if not isinstance(columns, list):
        columns = [str(one) for one in _checked_row(rows, 0)]
    return TablePairs(
        rows,
        image=_find_column(columns, image, IMAGES, "image_column", name),
        label=_find_column(columns, label, LABELS, "label_column", name),
    )


def _checked_row(rows: Any, index: int) -> Mapping[str, Any]:
    row = rows[index]
    if not isinstance(row, Mapping):
        raise DataSetError(f"row {index} (counted from 0) is {describe(row)}, expected a dict")
    return row


def _find_column(
    columns: Sequence[str], given: str | None, usual: Sequence[str], keyword: str, table: str
) -> str:
    there = f"{table} has the columns {', '.join(columns)}"
    if given is not None:
        if given not in columns:
            raise DataSetError(f"{there}, no {given!r}: expected one of them, {option(keyword)}")
        return given
    found = [name for name in columns if _plain(name) in usual]
    if len(found) != 1:
        which = f"several can be it ({', '.join(found)})" if found else "none has a usual name"
        raise DataSetError(f"{there}: {which}; name it with {option(keyword)}")
    return found[0]


def _plain(name: str) -> str:
    return "".join(letter for letter in name.removesuffix(":FILE").lower() if letter.isalnum())


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Reads a table: CSV with names in its first line, or a JSON object in each line; UTF-8.

    Columns of CSV are told apart by what makes most of them of the first line: commas, semicolons
    or tabs. Paths are relative to the table's folder.

    Raises:
        DataSetNotFoundError: there is no such file.
        DataSetError: the file can't be read as such a table.
    """
    if not path.is_file():
        raise DataSetNotFoundError(f"there is no table {str(path)!r}: expected a file")
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() != ".jsonl":
            heading = text.partition("\n")[0]
            columns = {one: next(csv.reader([heading], delimiter=one), ()) for one in ",;\t"}
            comma = max(columns, key=lambda one: len(columns[one]))
            rows: list[Any] = list(csv.DictReader(text.splitlines(), delimiter=comma))
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
    if "\\" in value and not (folder / value).exists():
        value = value.replace("\\", "/")  # as Windows writes them
    return str(folder / value) if Path(value).suffix else value
