"""Which columns of a table hold pictures and label maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelscope_vitadapter.errors import DataSetError

IMAGE_NAMES = (
    "image",
    "img",
    "picture",
    "photo",
    "inputimage",
    "pixelvalues",
    "imagepath",
    "input",
)
LABEL_NAMES = (
    *("label", "labels", "labelmap", "annotation", "annotations", "mask", "segmentation"),
    *("segmentationmask", "semanticsegmentation", "segmap", "gtsemanticseg", "outputimage"),
    *("labelpath", "maskpath", "target"),
)
"""Names in lower case without `_`, `-`, spaces and ModelScope's `:FILE`."""


@dataclass(frozen=True)
class Columns:
    """Names of two columns."""

    image: str
    label: str


def find_columns(names: Sequence[str], image: str | None, label: str | None, table: str) -> Columns:
    """Choose the columns of pictures and label maps.

    Args:
        names: All columns.
        image: The pictures' column; None to guess it by its name.
        label: The label maps' column; None to guess it.
        table: The table's name, for messages.

    Raises:
        DataSetError: A column is not there, or none or several can be it.
    """
    return Columns(
        _find(names, image, IMAGE_NAMES, "image_column", table),
        _find(names, label, LABEL_NAMES, "label_column", table),
    )


def _find(
    names: Sequence[str], given: str | None, usual: tuple[str, ...], option: str, table: str
) -> str:
    if given is not None:
        if given not in names:
            raise DataSetError(
                f"{table} has no column {given!r} ({option}); there are {', '.join(names)}"
            )
        return given
    found = [name for name in names if _plain(name) in usual]
    if len(found) == 1:
        return found[0]
    which = f"several can be it ({', '.join(found)})" if found else "none has a usual name"
    raise DataSetError(
        f"{table} has the columns {', '.join(names)}: {which}; name it with {option}"
    )


def _plain(name: str) -> str:
    plain = name.removesuffix(":FILE").lower()
    return "".join(letter for letter in plain if letter.isalnum())
