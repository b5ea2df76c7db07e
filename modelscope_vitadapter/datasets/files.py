"""Files of images and label maps below a folder, paired by their names."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.hints import option
from modelscope_vitadapter.images.reading import IMAGE_SUFFIXES
from modelscope_vitadapter.validation import listing

LABEL_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".bmp", ".gif", ".pgm", ".tga"})
"""Of formats that keep ids when they are saved."""

Pair = tuple[Path, Path | None]
"""An image, and its label map if there is one."""

TWO_FILES = re.compile(r"(\S.*?\.[A-Za-z]\w*)\s+(\S.*\.[A-Za-z]\w*)")
"""Two files in a line, by their suffixes."""

SPLIT_NAMES = (
    ("train", "training"),
    ("val", "validation", "valid", "eval"),
    ("test", "testing"),
)
"""What parts of a dataset are called, by meaning."""


def files_below(
    folder: Path, suffixes: frozenset[str], *, without: Path | None = None
) -> Iterator[Path]:
    """The files below a folder with one of some suffixes, in the order of their names.

    Links to folders are followed, but not those that lead back to a folder which they are in.
    Hidden files and folders are passed over, among them what macOS leaves beside files, and so is
    the folder `without`.
    """
    root = Path(os.path.realpath(folder))
    within = {str(folder): {str(root), *map(str, root.parents)}}  # what each folder to come is in
    for current, folders, files in os.walk(folder, followlinks=True):
        entered, above = [], within.pop(str(Path(current)))
        for name in sorted(folders):
            place = Path(current, name)
            real = os.path.realpath(place)
            if not name.startswith(".") and real not in above and place != without:
                within[str(place)] = above | {real}
                entered.append(name)
        folders[:] = entered
        for name in sorted(files):
            if not name.startswith(".") and name[name.rfind(".") :].lower() in suffixes:
                yield Path(current, name)


def key_of(folder: Path, path: Path) -> str:
    """What an image and its label map have in common: the path below a folder, without suffix."""
    return path.as_posix().removeprefix(f"{folder.as_posix()}/").rpartition(".")[0]


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder, in order, without hidden ones and what macOS adds."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = [one.name for one in entries if one.is_dir()]
    return sorted(one for one in names if not one.startswith((".", "__MACOSX")))


def holds_images(folder: Path) -> bool:
    """Whether an image lies in a folder itself."""
    return folder.is_dir() and any(
        one.suffix.lower() in IMAGE_SUFFIXES and not one.name.startswith(".")
        for one in folder.iterdir()
    )


def first_image(folder: Path) -> str:
    """The name of the first image below a folder, or nothing."""
    path = next(files_below(folder, IMAGE_SUFFIXES), None) if folder.is_dir() else None
    return "" if path is None else path.name


def is_split_name(name: str) -> bool:
    """Whether a folder is called as a part of a dataset: `train`, `val2017`."""
    meant = re.sub(r"[-_]?20\d\d$", "", name.lower())
    return any(meant in names for names in SPLIT_NAMES)


def is_whole(folder: Path, images: Path) -> bool:
    """Whether a folder is a dataset of its own, whose images lie in parts, and no part itself."""
    return not is_split_name(folder.name) and any(map(is_split_name, subfolders(images)))


def chosen_split(there: list[str], split: str) -> str | None:
    """The name that a part has on disk: the same, or of the same meaning, such as `train2017`."""
    if split in there:
        return split
    meant = next((names for names in SPLIT_NAMES if split.lower() in names), (split.lower(),))
    found = [one for one in there if re.sub(r"[-_]?\d+$", "", one.lower()) in meant]
    return found[0] if len(found) == 1 else None


def pairs_by_pattern(root: Path, images: str, labels: str) -> list[Pair]:
    """Pairs files by what stands for `{}` in patterns of their paths, in the order of the images.

    `*` stands for any letters of a name, such as a suffix; `{}` for any letters at all.

    Raises:
        DataSetError: the patterns have no `{}`, or not equally many.
    """
    if images.count("{}") != labels.count("{}") or "{}" not in images:
        raise DataSetError(
            f"{option('pairs', (images, labels))}: expected '{{}}' in both, where a name stands"
        )
    found = dict(_matches(root, labels, LABEL_SUFFIXES))
    return [(path, found.get(key)) for key, path in _matches(root, images, IMAGE_SUFFIXES)]


def _matches(
    root: Path, pattern: str, suffixes: frozenset[str]
) -> Iterator[tuple[tuple[str, ...], Path]]:
    """What stands for `{}` in each path that a pattern matches, and the path."""
    pattern = pattern.replace("\\", "/").removeprefix("./")
    text = "".join(
        {"{}": "(.+)", "*": "[^/]*"}.get(part, re.escape(part))
        for part in re.split(r"(\{\}|\*)", pattern)
    )
    compiled = re.compile(text)
    folder = re.split(r"[{*]", pattern)[0].rpartition("/")[0]
    for path in files_below(root / folder, suffixes):
        match = compiled.fullmatch(path.relative_to(root).as_posix())
        if match is not None:
            yield match.groups(), path


def read_list(path: Path) -> list[list[str]]:
    """The lines of a list of files: one name each, or an image and its label map.

    Between the two stands a tab, a comma, a semicolon, or, behind the first one's suffix, white
    space; both may hold blanks. Empty lines and comments (`#`) are passed over.

    Raises:
        DataSetError: the file is no text, or has no lines.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataSetError(f"list {str(path)!r} can't be read ({error})") from error
    entries = []
    for line in lines:
        if line.strip() and not line.startswith("#"):
            entries.append(list_entry(line))
    if not entries:
        raise DataSetError(f"list {str(path)!r} is empty: expected a name in each line")
    return entries


def list_entry(line: str) -> list[str]:
    """The paths in a line of a list, see `read_list`."""
    separator = next((one for one in "\t,;" if one in line), None)
    files = TWO_FILES.fullmatch(line.strip())
    parts = files.groups() if files and not separator else line.split(separator or "\n")
    return [one.strip().replace("\\", "/") for one in parts if one.strip()]


def listed_path(folder: Path, text: str) -> Path:
    """A path of a list, from a folder on, also where it begins with `/` as in lists of VOC."""
    path = folder / text
    return path if path.is_file() else folder / text.lstrip("/")


def listed(pairs: list[Pair], root: Path, entries: list[list[str]], name: str) -> list[Pair]:
    """Those of a dataset's pairs that a list names, in the list's order.

    An entry is a path from `root` on or the end of one, with or without a suffix.

    Raises:
        DataSetError: an entry is no image of the dataset, or could be several.
    """
    places: dict[str, list[int]] = {}
    for number, (image, _) in enumerate(pairs):
        whole = Path(os.path.relpath(image, root)).as_posix()
        for text in {whole, whole.rpartition(".")[0] or whole}:
            while text:
                places.setdefault(text, []).append(number)
                text = text.partition("/")[2]
    found, unknown = [], []
    for entry in entries:
        text = entry[0].removeprefix("./").lstrip("/")
        while text and text not in places:
            text = text.partition("/")[2]
        numbers = places.get(text, [])
        if len(numbers) != 1:
            unknown.append(f"{entry[0]}{' (several images)' if numbers else ''}")
        else:
            found.append(pairs[numbers[0]])
    if unknown:
        raise DataSetError(
            f"{len(unknown)} of {len(entries)} entries of the list {name} name no image of the "
            f"dataset {str(root)!r}: {listing(unknown)}; expected names or paths of its images"
        )
    return found
