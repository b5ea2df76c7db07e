"""The kinds of labelled data sets: files, rows of a table, a list."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from modelscope_vitadapter.datasets.columns import Columns, find_columns
from modelscope_vitadapter.datasets.label_ids import LabelIds
from modelscope_vitadapter.datasets.pairs import Pair
from modelscope_vitadapter.datasets.samples import Sample
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.images.naming import describe
from modelscope_vitadapter.validation import shorten


@dataclass(frozen=True)
class FilePairs:
    """Pictures and label maps in files.

    Attributes:
        pairs: the files.
        label_ids: what the ids in the label maps stand for.
        classes: names of the classes by id, where the data set says them.
        name: the data set's, for messages and results.
        root: paths in `identity` are relative to it, so that a copied data set is the same.
    """

    pairs: Sequence[Pair]
    label_ids: LabelIds
    classes: tuple[str, ...] | None = None
    name: str = "files"
    root: Path = field(default_factory=Path)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        pair = self.pairs[index]
        return Sample(
            name=str(pair.image),
            image=pair.image,
            label=pair.label,
            label_name=f"label map {str(pair.label)!r}",
        )

    @cached_property
    def identity(self) -> str:
        """Changes with the names and sizes of the files and the meaning of ids."""
        digest = hashlib.sha256(repr(self.label_ids).encode())
        for pair in self.pairs:
            for path in (pair.image, pair.label):
                name = path.relative_to(self.root) if path.is_relative_to(self.root) else path
                size = path.stat().st_size if path.is_file() else -1
                digest.update(f"{name.as_posix()}\0{size}\0".encode("utf-8", "surrogateescape"))
        return f"{len(self)} pictures, files {digest.hexdigest()[:16]}"


class Rows(Protocol):
    """A table: `MsDataset`, a Hugging Face data set, a list of dicts."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


@dataclass(frozen=True)
class TableRows:
    """Rows with a column of pictures and one of label maps; each row is read when it is asked for.

    Attributes:
        rows: the table.
        columns: which two.
        label_ids, classes, name: as of `FilePairs`.
    """

    rows: Rows
    columns: Columns
    label_ids: LabelIds
    classes: tuple[str, ...] | None = None
    name: str = "rows"

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        row = self.rows[index]
        if not isinstance(row, Mapping):
            raise DataSetError(f"row {index} (counted from 0) is {describe(row)}, expected a dict")
        for column in (self.columns.image, self.columns.label):
            if row.get(column) is None:
                raise DataSetError(f"row {index} (counted from 0) has nothing in {column!r}")
        image, label = row[self.columns.image], row[self.columns.label]
        return Sample(
            name=f"row {index}{_path_in(image)}",
            image=image,
            label=label,
            label_name=f"label map of row {index}{_path_in(label)}",
        )

    @property
    def identity(self) -> str:
        """Changes with the table's own fingerprint, where it has one, and the meaning of ids."""
        table = getattr(self.rows, "ds_instance", self.rows)
        fingerprint = getattr(table, "_fingerprint", type(table).__qualname__)
        return f"{len(self)} rows, table {fingerprint}, {self.columns}, {self.label_ids}"


@dataclass(frozen=True)
class ListedPairs:
    """Pictures and label maps in any form, one after the other in a list.

    Attributes:
        pairs: `(image, label)` each.
        label_ids, classes, name: as of `FilePairs`.
    """

    pairs: Sequence[tuple[object, object]]
    label_ids: LabelIds
    classes: tuple[str, ...] | None = None
    name: str = "pairs"

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        image, label = self.pairs[index]
        return Sample(
            name=f"pair {index}{_path_in(image)}",
            image=image,
            label=label,
            label_name=f"label map of pair {index}{_path_in(label)}",
        )

    @cached_property
    def identity(self) -> str:
        """Changes with the names of what is in the list and the meaning of ids."""
        digest = hashlib.sha256(repr(self.label_ids).encode())
        for image, label in self.pairs:
            digest.update(f"{_full_name(image)}\0{_full_name(label)}\0".encode())
        return f"{len(self)} pairs, names {digest.hexdigest()[:16]}"


def table_of_rows(
    rows: Rows,
    *,
    image_column: str | None,
    label_column: str | None,
    label_ids: LabelIds,
    classes: tuple[str, ...] | None,
    name: str,
) -> TableRows:
    """Make a data set of a table; the columns are guessed from its first row where not given."""
    if len(rows) == 0:
        raise DataSetError(f"{name} is empty: expected at least one row")
    names = getattr(getattr(rows, "ds_instance", rows), "column_names", None)
    if not isinstance(names, list):
        first = rows[0]
        if not isinstance(first, Mapping):
            raise DataSetError(f"row 0 of {name} is {describe(first)}, expected a dict")
        names = [str(one) for one in first]
    columns = find_columns(names, image_column, label_column, name)
    return TableRows(rows, columns, label_ids, classes, name)


def _path_in(value: object) -> str:
    """` (path)` where a value is a path or carries one."""
    if isinstance(value, Mapping):
        value = value.get("path")
    found = value if isinstance(value, str | Path) else getattr(value, "filename", None)
    return f" ({shorten(str(found))})" if found else ""


def _full_name(value: object) -> str:
    return str(value) if isinstance(value, str | Path) else describe(value)
