"""Files that appear under their name only when they are complete, and what is read from them."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modelscope_vitadapter.checkpoint.save import written_aside
from modelscope_vitadapter.datasets.label_ids import IGNORED
from modelscope_vitadapter.datasets.layouts.annotations import checked, read_text
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.formats.segmentation import Palette, check_distinct
from modelscope_vitadapter.validation import shown


@contextlib.contextmanager
def text_file(path: Path) -> Iterator[TextIO]:
    """Opens a file in UTF-8 to write to; its folder is made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside, aside.open("w", encoding="utf-8", newline="\n") as file:
        yield file


def write_json(path: Path, content: Any) -> None:
    """Writes an object in JSON."""
    with text_file(path) as file:
        file.write(as_json(content) + "\n")


def as_json(content: Any) -> str:
    """An object as a line of JSON; numbers of numpy become Python's."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, default=lambda one: one.item())


def read_list(path: Path) -> list[Any]:
    """Reads a list in JSON; DataSetError where it can't be read, or is none."""
    text = read_text(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataSetError(f"{str(path)!r} can't be read as JSON ({error}); save it anew") from None
    found: list[Any] = checked(content, list, f"{str(path)!r}")
    return found


def write_png(path: Path, image: Image.Image) -> None:
    """Writes a PNG; its folder is made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside:
        image.save(aside, "PNG")


def id_image(ids: NDArray[np.integer[Any]], *, wide: bool) -> Image.Image:
    """Ids `(H, W)` as an image of one channel, of 16 bits if `wide`, otherwise of 8."""
    return Image.fromarray(ids.astype(np.uint16 if wide else np.uint8))


def as_class_map(stored: NDArray[np.integer[Any]], ignored: int) -> NDArray[np.integer[Any]]:
    """Ids as stored, with -1 for what is ignored, in 16 bits where that is enough."""
    wide = int(np.where(stored == ignored, 0, stored).max()) >= 2**15
    class_map: NDArray[np.integer[Any]] = stored.astype(np.int32 if wide else np.int16)
    class_map[stored == ignored] = IGNORED
    return class_map


def hexadecimal(colour: Sequence[int]) -> str:
    """A colour as `#rrggbb`."""
    return "#" + bytes(colour).hex()


def names_of(value: object, what: str) -> tuple[str, ...]:
    """Names of classes in a file, a list of different texts; DataSetError for anything else."""
    names = tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()
    if not isinstance(value, list) or len(names) < len(value):
        raise DataSetError(f"{what} has {shown(value)} as its classes, expected a list of names")
    check_distinct(names, what)
    return names


def palette_of(colours: Sequence[Any], what: str) -> Palette | None:
    """Colours in a file, `#rrggbb` or `[R, G, B]` by class; None where each class has none.

    Raises:
        DataSetError: one is no colour, or some classes have a colour and some don't.
    """
    if all(one is None for one in colours):
        return None
    palette = []
    for one in colours:
        try:
            red, green, blue = (
                bytes.fromhex(one.lstrip("#")) if isinstance(one, str) else bytes(one)
            )
        except (ValueError, TypeError):
            raise DataSetError(
                f"{what} has the colour {shown(one)}, expected '#rrggbb' or three numbers from 0 "
                "to 255"
            ) from None
        palette.append((red, green, blue))
    return tuple(palette)
