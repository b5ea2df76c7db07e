"""Tables of Hugging Face's `datasets`, on disk and as streams, as tables with a length."""

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

MARKS = ("dataset_dict.json", "dataset_info.json", "state.json")
"""Files of what `save_to_disk` writes."""


def is_saved(path: Path) -> bool:
    """Whether a path is a Parquet file, a folder of such, or what `save_to_disk` wrote."""
    if path.is_file():
        return path.suffix.lower() == ".parquet"
    return any((path / one).is_file() for one in MARKS) or any(
        True for place in (path, path / "data") for _ in place.glob("*.parquet")
    )


def load_saved(path: Path) -> Any:
    """The table, or the tables by split, of a path that `is_saved`."""
    import datasets

    if path.is_file():
        return datasets.Dataset.from_parquet(str(path))
    if any((path / one).is_file() for one in MARKS[::2]):
        return datasets.load_from_disk(str(path))
    return datasets.load_dataset(str(path))


def indexed(source: Any) -> Any:
    """A source as it is; of a stream its rows in a file, for as long as the table is used.

    Tables that are set to give arrays or tensors give images again, whose channels are known.
    """
    inner = getattr(source, "ds_instance", source)  # an MsDataset wraps another table
    if type(inner).__module__.split(".")[0] != "datasets":
        return source
    if not hasattr(inner, "__len__"):
        return _kept(inner)
    kind = (getattr(inner, "format", None) or {}).get("type")
    return source if kind in (None, "custom") else inner.with_format(None)


def _kept(stream: Any) -> Any:
    import datasets

    for name, feature in (stream.features or {}).items():
        if isinstance(feature, datasets.Image):  # kept as they are encoded
            stream = stream.cast_column(name, datasets.Image(decode=False))
    folder = tempfile.mkdtemp(prefix="vitadapter-")

    def rows() -> Any:
        yield from stream

    table = datasets.Dataset.from_generator(rows, features=stream.features, cache_dir=folder)
    weakref.finalize(table, shutil.rmtree, folder, ignore_errors=True)
    return table
