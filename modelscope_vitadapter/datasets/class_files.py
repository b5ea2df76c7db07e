"""Files that name classes, one a line."""

from pathlib import Path

from modelscope_vitadapter.errors import DataSetError

IGNORED_NAME = "__ignore__"
"""What labelme calls what is not counted, in the first line: it has no class id."""


def read_classes(path: Path) -> tuple[str, ...] | None:
    """The names in a `classes.txt`, one a line, or None where there is no such file.

    Raises:
        DataSetError: the file is no text in UTF-8, or a line is empty or there twice.
    """
    if not path.is_file():
        return None
    try:
        names = tuple(map(str.strip, path.read_text("utf-8-sig").rstrip().split("\n")))
    except UnicodeDecodeError as error:
        raise DataSetError(f"{str(path)!r} is no text in UTF-8 ({error}); save it so") from None
    for number, name in enumerate(names):
        if not name or name in names[:number]:
            what = f"names {name!r} again" if name else "is empty"
            raise DataSetError(
                f"{str(path)!r}: line {number + 1} {what}; expected another class in each line"
            )
    return names[1:] if names[0] == IGNORED_NAME else names
