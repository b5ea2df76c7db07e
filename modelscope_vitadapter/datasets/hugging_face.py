"""Tables of Hugging Face's `datasets`, on disk and as streams, as tables with a length."""

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

from modelscope_vitadapter.datasets.files import subfolders
from modelscope_vitadapter.errors import DataSetError

MARKS = ("dataset_dict.json", "dataset_info.json", "state.json")
"""Files of what `save_to_disk` writes."""


def is_saved(path: Path) -> bool:
    """Whether a path is a Parquet file, a folder of such, or what `save_to_disk` wrote."""
    if path.is_file():
        return path.suffix.lower() == ".parquet"
    if any((path / one).is_file() for one in MARKS):
        return True
    # Beside folders of images it is something else's.
    return set(subfolders(path)) <= {"data"} and any(
        True for place in (path, path / "data") for _ in place.glob("*.parquet")
    )


def load_saved(path: Path) -> Any:
    """The table, or the tables by split, of a path that `is_saved`; DataSetError if damaged."""
    import datasets

    try:
        if path.is_file():
            return datasets.Dataset.from_parquet(str(path))
        if any((path / one).is_file() for one in MARKS[::2]):
            return datasets.load_from_disk(str(path))
        return datasets.load_dataset(str(path))
    except MemoryError:
        raise
    except Exception as error:  # of many classes
        raise DataSetError(f"{str(path)!r} can't be read: {_cause(error)}; save it anew") from error


def indexed(source: Any) -> Any:
    """A source as it is; of a stream its rows in a file, for as long as the table is used.

    Tables that are set to give arrays or tensors give images again, whose channels are known, and
    images come as they are encoded: `datasets` would turn them as EXIF says, whatever is asked for.
    """
    inner = getattr(source, "ds_instance", source)  # an MsDataset wraps another table
    if type(inner).__module__.split(".")[0] != "datasets":
        return source
    if not hasattr(inner, "__len__"):
        return _kept(inner)
    kind = (getattr(inner, "format", None) or {}).get("type")
    if kind == "custom":
        return source
    return _encoded(inner if kind is None else inner.with_format(None))


def _encoded(table: Any) -> Any:
    """A table or stream that gives its images as they are encoded, but those of a given mode."""
    import datasets

    for name, feature in (getattr(table, "features", None) or {}).items():
        if isinstance(feature, datasets.Image) and feature.decode and feature.mode is None:
            table = table.cast_column(name, datasets.Image(decode=False))
    return table


def _cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"


def _kept(stream: Any) -> Any:
    import datasets

    stream = _encoded(stream)
    folder = tempfile.mkdtemp(prefix="vitadapter-")

    def rows() -> Any:
        yield from stream

    try:
        table = datasets.Dataset.from_generator(rows, features=stream.features, cache_dir=folder)
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, MemoryError):
            raise
        raise DataSetError(f"the stream failed to give its rows: {_cause(error)}") from error
    weakref.finalize(table, shutil.rmtree, folder, ignore_errors=True)
    return table
