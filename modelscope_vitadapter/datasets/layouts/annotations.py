"""What layouts with annotation files share: reading them, checked, and the classes in them."""

import functools
import io
import json
import posixpath
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modelscope_vitadapter.datasets.files import (
    files_below,
    holds_images,
    is_whole,
    key_of,
    subfolders,
)
from modelscope_vitadapter.datasets.layouts.folders import IMAGE_FOLDERS, named
from modelscope_vitadapter.datasets.polygons import Size, checked_size
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from modelscope_vitadapter.images.formats import FORMATS
from modelscope_vitadapter.images.reading import IMAGE_SUFFIXES
from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.validation import listing, shown

MAX_BYTES = 2**31
"""Of an annotation file."""

ORIENTATION = 0x0112
"""The tag of EXIF; 5 to 8 stand for images that lie on their side."""

Parts = dict[str | None, tuple[Path, Path]]
"""Folders of images and of annotation files by split; the only split None where there are none."""


@dataclass(frozen=True)
class ClassNames:
    """The classes in an annotation file: id 0 is background, the others follow in their order."""

    names: tuple[str, ...]  # by id

    def id_of(self, name: object, what: str) -> int:
        """The id of a class; DataSetError where the file does not list it."""
        try:
            return self.names.index(name)
        except ValueError:
            known = listing(self.names)
            raise DataSetError(
                f"{what} is of class {shown(name)}; expected one of {known}: correct it, or add it "
                "to the list of classes"
            ) from None

    def identity(self, file: Path, root: Path) -> str:
        """A file, by its place in the dataset, and its size; another text for other classes."""
        size = file.stat().st_size if file.is_file() else -1
        place = file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name
        return f"{place} ({size} bytes, classes {zlib.crc32(repr(self.names).encode()):08x})"


def class_names(names: Iterable[str]) -> ClassNames:
    """Puts the class called background, or a new one, before the others; a name counts once."""
    own = list(dict.fromkeys(names))
    background = next((one for one in own if one.strip("_").lower() == "background"), "background")
    return ClassNames((background, *(one for one in own if one != background)))


def read_text(path: Path) -> str:
    """Reads an annotation file in UTF-8; DataSetError where it can't be."""
    if not path.is_file():
        raise DataSetNotFoundError(f"annotation file {str(path)!r} does not exist, or is no file")
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataSetError(
                f"{str(path)!r} has {size} bytes, expected at most {MAX_BYTES}: split it"
            )
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataSetError(f"{str(path)!r} can't be read as text in UTF-8 ({error})") from error


def read_lines(path: Path) -> list[str]:
    """The lines of a text, without spaces around them and empty ones at the end."""
    return [one.strip() for one in read_text(path).rstrip().splitlines()]


def read_json(path: Path, hook: Callable[[dict[str, Any]], Any] | None = None) -> dict[str, Any]:
    """Reads an object in JSON; `hook` gets each object as it is read, see `json.loads`."""
    text = read_text(path)
    try:
        content = json.loads(text, object_hook=hook)
    except (ValueError, RecursionError) as error:
        raise DataSetError(f"{str(path)!r} can't be read as JSON ({error}); save it anew") from None
    found: dict[str, Any] = checked(content, dict, f"{str(path)!r}")
    return found


def checked(value: Any, kind: type | tuple[type, ...], what: str) -> Any:
    """A value of a file, which has to be of a type; DataSetError where it isn't."""
    if isinstance(value, kind) and not isinstance(value, bool):
        return value
    kinds = kind if isinstance(kind, tuple) else (kind,)
    expected = " or ".join(one.__name__ for one in kinds)
    simple = value is None or isinstance(value, str | int | float)
    raise DataSetError(
        f"{what} is {shown(value) if simple else type(value).__name__}, expected {expected}"
    )


def member(record: Any, key: str, kind: type | tuple[type, ...], what: str) -> Any:
    """A member of an object in a file, checked."""
    return checked(checked(record, dict, what).get(key), kind, f"{key!r} of {what}")


def inside(folder: Path, name: str, what: str) -> Path:
    """The file that another one names within a folder; DataSetError where it would leave it."""
    path = posixpath.normpath(name.replace("\\", "/"))
    if path.startswith(("/", "../")) or path in ("..", ".") or re.match("[A-Za-z]:", path):
        raise DataSetError(
            f"{what} names the file {shown(name)}; expected a path within {str(folder)!r}"
        )
    return folder / path


def upright_size(path: Path) -> Size:
    """The size of an image file, turned as its EXIF data says; as a rule only its head is read."""
    Image.init()
    known = [one for one in FORMATS if one in Image.OPEN]  # of others Pillow makes a KeyError
    try:
        with Image.open(path, formats=known) as image:
            if image.format == "TIFF":  # turns itself
                image.load()
                return checked_size(image.height, image.width, str(path))
            size = checked_size(image.height, image.width, str(path))
            lies = image.getexif().get(ORIENTATION) in (5, 6, 7, 8)
            return size[::-1] if lies else size
    except DataSetError:
        raise
    except FileNotFoundError as error:
        raise DataSetNotFoundError(f"image file {str(path)!r} does not exist") from error
    except Exception as error:  # Pillow raises many classes on damaged files
        raise DataSetError(
            f"image file {str(path)!r} can't be read ({type(error).__name__}: {error})"
        ) from error


def png_pixels(content: bytes, most: Size, what: str) -> NDArray[np.bool_]:
    """The pixels of a PNG that are not transparent, or not 0 where it has no alpha.

    Raises:
        DataSetError: it is no PNG, or larger than the image that it is part of.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            if image.height > most[0] or image.width > most[1]:
                raise DataSetError(
                    f"{what} has a bitmap of height {image.height} and width {image.width}, more "
                    f"than its image's {most[0]} and {most[1]}"
                )
            if image.mode in ("LA", "RGBA") or "transparency" in image.info:
                image = image.convert("RGBA").getchannel("A")
            pixels: NDArray[np.bool_] = np.asarray(image) > 0
    except DataSetError:
        raise
    except Exception as error:
        raise DataSetError(
            f"{what} has a bitmap that can't be read ({type(error).__name__}: {error}); expected a "
            "PNG"
        ) from error
    return pixels if pixels.ndim == 2 else np.any(pixels, axis=2)


@functools.cache
def warn_skipped(kind: str, file: str) -> None:
    """Says once for a dataset that what is drawn in a shape without an area is left out."""
    get_logger().warning("%s: shapes of kind %s cover no area that is read: left out", file, kind)


def parts_of(root: Path, label_folders: tuple[str, ...], suffix: str) -> Parts:
    """Where images and annotation files are, in folders beside each other; {} where they aren't.

    Looked for are `ROOT/images/SPLIT` beside `ROOT/labels/SPLIT`, `ROOT/images` beside
    `ROOT/labels`, and `ROOT/SPLIT/images` beside `ROOT/SPLIT/labels`.
    """
    found: Parts = {}
    for images, labels in _beside(root, label_folders):
        if holds_images(images):
            if match(images, labels, suffix):
                return {None: (images, labels)}
            continue
        for name in subfolders(images):
            if match(images / name, labels / name, suffix):
                found.setdefault(name, (images / name, labels / name))
    if not found:
        for name in subfolders(root):
            for images, labels in _beside(root / name, label_folders):
                if not is_whole(root / name, images) and match(images, labels, suffix):
                    found.setdefault(name, (images, labels))
    return found


def splits_in(parts: Mapping[str | None, Any]) -> list[str] | None:
    """What a layout's `splits` answers."""
    return sorted(one for one in parts if one is not None) if parts else None


def part_of(parts: Mapping[str | None, Any], root: Path, split: str | None, look: str) -> Any:
    """The part of a split; DataSetNotFoundError where there is none."""
    if split not in parts:
        there = ", ".join(map(str, parts)) or "none"
        raise DataSetNotFoundError(
            f"{str(root)!r} has no split {split!r} (there are: {there}); expected {look}"
        )
    return parts[split]


def images_in(folder: Path) -> list[Path]:
    """The images below a folder; DataSetError where there are none."""
    images = list(files_below(folder, IMAGE_SUFFIXES))
    if not images:
        raise DataSetError(f"folder {str(folder)!r} holds no images")
    return images


def match(images: Path, labels: Path, suffix: str) -> bool:
    """Whether below a folder there is a file, with a suffix, of the same name as an image."""
    files = [key_of(labels, one) for one in files_below(labels, frozenset({suffix}))]
    found = files_below(images, IMAGE_SUFFIXES) if files else ()
    return not {key_of(images, one) for one in found}.isdisjoint(files)


def _beside(root: Path, label_folders: tuple[str, ...]) -> Iterator[tuple[Path, Path]]:
    return product(named(root, IMAGE_FOLDERS), named(root, label_folders))
