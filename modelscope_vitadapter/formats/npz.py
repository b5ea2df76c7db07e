"""Numpy's arrays in a file: `class_map`, `classes`, `name`, and `palette` where there is one."""

import zipfile
from pathlib import Path

import numpy as np

from modelscope_vitadapter.checkpoint.save import written_aside
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from modelscope_vitadapter.formats.segmentation import Segmentation


def write(path: Path, one: Segmentation) -> None:
    """Writes everything; the class map keeps its type."""
    arrays = {
        "class_map": one.class_map,
        "classes": np.array(one.classes, np.str_),
        "name": np.array(one.name),
    }
    if one.palette is not None:
        arrays["palette"] = np.array(one.palette, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside, aside.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read(path: Path) -> Segmentation:
    """Reads everything; DataSetError where it can't be read."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            palette = None
            if "palette" in arrays:
                palette = tuple((int(r), int(g), int(b)) for r, g, b in arrays["palette"])
            classes = tuple(map(str, arrays["classes"]))
            return Segmentation(arrays["class_map"], classes, palette, str(arrays["name"]))
    except FileNotFoundError as error:
        raise DataSetNotFoundError(f"{str(path)!r} does not exist") from error
    except DataSetError:
        raise
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataSetError(
            f"{str(path)!r} can't be read as arrays class_map, classes and name ({error})"
        ) from error
