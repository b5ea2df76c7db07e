"""What is to be segmented: names that a person types, one by one as images with names of their own.

Nothing is read but names: folders and lists are gone through as they are asked for.
"""

import csv
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from modelscope_vitadapter.datasets.files import files_below, holds_images, subfolders
from modelscope_vitadapter.datasets.tables import IMAGES
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from modelscope_vitadapter.hints import option
from modelscope_vitadapter.images.naming import is_url
from modelscope_vitadapter.images.reading import IMAGE_SUFFIXES
from modelscope_vitadapter.images.video import VIDEO_SUFFIXES, is_video

LIST_SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl")

SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES

GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Item:
    """An image, or a video, that is to be segmented."""

    input: str
    """What it is called in the manifest and in messages: its path, address or row."""
    source: Any
    """What `images.reading.read_image` takes, or the path of a video; files as text."""
    place: str
    """Where its outputs belong, below the folder of each kind: with its suffix and `/`."""
    is_video: bool = False

    def state(self) -> str:
        """A text that is another one when the file was changed; empty where that can't be told."""
        if not isinstance(self.source, str) or is_url(self.source):
            return ""
        try:
            found = Path(self.source).stat()
        except OSError:
            return ""
        return f"{found.st_size} {found.st_mtime_ns}"


def items_of(names: Iterable[str], *, recursive: bool = False) -> Iterator[Item]:
    """The images that names stand for, in order: files, folders, globs, addresses and lists.

    Args:
        names: as typed; `-` stands for the lines of standard input; `ms:` and `hf:` are datasets.
        recursive: go into folders of folders.

    Raises:
        DataSetNotFoundError: a file or folder does not exist.
        DataSetError: a folder holds no images, or a list can't be read.
    """
    given = list(names)
    for name in given:
        below = f"{_label(name)}/" if len(given) > 1 and Path(name).is_dir() else ""
        for item in _of_name(name, recursive):
            yield replace(item, place=below + item.place)


def _of_name(name: str, recursive: bool) -> Iterator[Item]:
    if name == "-":
        for line in sys.stdin:
            if line.strip():
                yield from _of_name(line.strip(), recursive)
    elif name[:3] in ("ms:", "hf:"):
        yield from _of_dataset(name)
    elif is_url(name):
        path = PurePosixPath(unquote(urlsplit(name).path)).name or "image"
        yield Item(name, name, _safe(path), is_video(name))
    elif Path(name).is_dir():
        yield from _of_folder(Path(name), recursive)
    elif GLOB.search(name) and not Path(name).exists():
        yield from _of_glob(name)
    elif Path(name).suffix.lower() in LIST_SUFFIXES:
        yield from _of_list(Path(name), recursive)
    elif not Path(name).exists():
        raise DataSetNotFoundError(
            f"{name!r} does not exist: expected an image, a video, a folder, a pattern such as "
            "'photos/*.jpg', an address, or a list (.txt, .csv, .jsonl)"
        )
    else:
        yield Item(name, name, Path(name).name, is_video(name))


def _of_folder(folder: Path, recursive: bool) -> Iterator[Item]:
    if recursive:
        paths: Iterable[Path] = files_below(folder, SUFFIXES)
    else:
        paths = (
            one
            for one in sorted(folder.iterdir())
            if one.suffix.lower() in SUFFIXES and not one.name.startswith(".") and one.is_file()
        )
    empty = True
    for path in paths:
        empty = False
        place = path.relative_to(folder).as_posix()
        yield Item(str(path), str(path), place, is_video(path))
    if empty:
        below = [name for name in subfolders(folder) if holds_images(folder / name)]
        hint = f"; {option('recursive', True)} goes into its folders" if below else ""
        raise DataSetError(f"folder {str(folder)!r} holds no images{hint}")


def _of_glob(pattern: str) -> Iterator[Item]:
    start = GLOB.search(pattern)
    fixed = Path(pattern[: start.start() if start else 0] + "x").parent
    rest = Path(pattern).relative_to(fixed).as_posix()
    files = (one for one in sorted(fixed.glob(rest)) if one.is_file())
    found = [str(one) for one in files if not one.name.startswith(".")]
    images = [one for one in found if Path(one).suffix.lower() in SUFFIXES]
    if not images:
        what = f"{len(found)} files, none of them an image" if found else "nothing"
        raise DataSetNotFoundError(f"the pattern {pattern!r} matches {what}")
    for path in images:
        place = os.path.relpath(path, fixed).replace(os.sep, "/")
        yield Item(path, path, place, is_video(path))


def _of_list(path: Path, recursive: bool) -> Iterator[Item]:
    """The images that a list names, relative to its folder."""
    if not path.is_file():
        raise DataSetNotFoundError(f"list {str(path)!r} does not exist")
    try:
        names = list(_names_in(path))
    except (OSError, ValueError, csv.Error, RecursionError) as error:
        raise DataSetError(
            f"list {str(path)!r} can't be read ({error}); expected a path or address in each line, "
            "or a table with a column 'image'"
        ) from error
    if not names:
        raise DataSetError(f"list {str(path)!r} names no images")
    for name in names:
        if is_url(name):
            yield from _of_name(name, recursive)
            continue
        place = PurePosixPath(name.replace("\\", "/"))
        inside = not place.is_absolute() and ".." not in place.parts
        source = str(path.parent / name)
        yield Item(source, source, place.as_posix() if inside else place.name, is_video(name))


def _names_in(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        if path.suffix.lower() == ".txt":
            for line in file:
                name = line.split("\t")[0].strip()
                if name and not name.startswith("#"):
                    yield name
            return
        if path.suffix.lower() == ".jsonl":
            rows: Iterable[dict[str, Any]] = (json.loads(line) for line in file if line.strip())
        else:
            comma = "\t" if path.suffix.lower() == ".tsv" else ","
            rows = csv.DictReader(file, delimiter=comma)
        for row in rows:
            column = next(
                (one for one in row if str(one).lower().removesuffix(":file") in IMAGES), None
            )
            if column is None:
                raise ValueError(f"no column of {', '.join(map(str, row))} is called 'image'")
            yield str(row[column])


def _of_dataset(name: str) -> Iterator[Item]:
    """The images of a hub's dataset; `ms:OWNER/NAME@SUBSET#SPLIT`, the latter two if needed."""
    from modelscope_vitadapter.datasets.hub import load

    dataset, _, split = name.partition("#")
    rows = load(dataset, split=split or "train")
    for number, row in enumerate(rows):
        yield Item(f"{name} row {number}", row, f"{number:06d}.jpg")


def _label(name: str) -> str:
    return _safe(Path(name).resolve().name) or "images"


def _safe(name: str) -> str:
    """A name without what some file systems refuse."""
    return re.sub(r'[<>:"|?*\x00-\x1f]', "_", name)


class Names:
    """Gives each item a name for its outputs, without a suffix; none twice.

    `taken` has those of an earlier run, by input, which stay.
    """

    def __init__(self, taken: dict[str, str]) -> None:
        self._by_input = dict(taken)
        self._used = set(taken.values())

    def of(self, item: Item) -> str:
        """The name: the place without suffix, with it where another image has that, or numbered."""
        known = self._by_input.get(item.input)
        if known is not None:
            return known
        whole = item.place
        candidates = [whole.removesuffix(PurePosixPath(whole).suffix), whole]
        number = 2
        while (name := candidates.pop(0)) in self._used:
            if not candidates:
                candidates.append(f"{whole}-{number}")
                number += 1
        self._by_input[item.input] = name
        self._used.add(name)
        return name
