"""YOLO's polygons: a text file for each image, a line for each object."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from modelscope_vitadapter.datasets.layouts.annotations import (
    ClassNames,
    Parts,
    checked,
    class_names,
    images_in,
    part_of,
    parts_of,
    read_lines,
    read_text,
    splits_in,
    upright_size,
)
from modelscope_vitadapter.datasets.layouts.layout import Found
from modelscope_vitadapter.datasets.polygons import DrawnRegions, Region, Size, polygons
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.validation import shown

NAME = "yolo"
LOOK = "images/train/x.jpg + labels/train/x.txt, or train/images + train/labels, with data.yaml"

YAML_FILES = ("data.yaml", "dataset.yaml")
MAX_YAML = 2**20  # characters

FARTHEST = 1.0
"""How far beyond the image, in its sides, a corner may be before it must be in other units."""


def splits(root: Path) -> list[str] | None:
    """See `layout`; `root` may also be the yaml file."""
    return splits_in(_parts(root))


def find(root: Path, split: str | None) -> Found:
    """See `layout`. An image without a text file has no objects.

    Raises:
        DataSetError: there are no class names, or no images.
    """
    images, labels = part_of(_parts(root), root, split, LOOK)
    numbers = _names(root)
    classes = class_names(numbers.values())
    folder = _folder(root)
    pairs = []
    for image in images_in(images):
        text = labels / image.relative_to(images).with_suffix(".txt")
        load = partial(_load, image, text, numbers, classes)
        identity = classes.identity(text, folder)
        pairs.append((image, DrawnRegions(identity, len(classes.names), load)))
    return Found(pairs, classes.names)


def _folder(root: Path) -> Path:
    """The folder of the dataset: of a yaml file the one that it names, if that is there."""
    if not root.is_file():
        return root
    named = _content(root).get("path")
    folder = root.parent / named if isinstance(named, str) else root.parent
    return folder if folder.is_dir() else root.parent


def _parts(root: Path) -> Parts:
    if root.is_file() and root.suffix.lower() not in (".yaml", ".yml"):
        return {}
    return parts_of(_folder(root), ("labels",), ".txt")


def _names(root: Path) -> dict[int, str]:
    """The names of the classes by their number in the text files."""
    folder = _folder(root)
    files = [root] if root.is_file() else [folder / one for one in YAML_FILES]
    files.append(folder.parent / f"{folder.name}.yaml")
    others = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    files = [one for one in files if one.is_file()] or (others if len(others) == 1 else [])
    if files:
        return _names_in_yaml(files[0])
    if (folder / "classes.txt").is_file():
        return dict(enumerate(read_lines(folder / "classes.txt")))
    raise DataSetError(
        f"{str(folder)!r} names no classes: expected data.yaml with 'names:', or classes.txt with "
        "a name in each line, beside the folders"
    )


def _content(path: Path) -> dict[str, Any]:
    text = read_text(path)
    try:
        content: Any = yaml.safe_load(text) if len(text) <= MAX_YAML else None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataSetError(f"{str(path)!r} can't be read as YAML ({error})") from None
    return content if isinstance(content, dict) else {}


def _names_in_yaml(path: Path) -> dict[int, str]:
    names = _content(path).get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise DataSetError(f"{str(path)!r} names no classes: expected 'names:' with a list of them")
    found = {}
    for number, name in names.items():
        what = f"class {shown(number)} of {str(path)!r}"
        found[checked(number, int, what)] = checked(name, str, f"the name of {what}, in quotes,")
    return dict(sorted(found.items()))


def _load(
    image: Path, text: Path, numbers: dict[int, str], classes: ClassNames
) -> tuple[Size, list[Region]]:
    size = upright_size(image)
    lines = read_text(text).splitlines() if text.is_file() else []
    regions = []
    for index, line in enumerate(lines):
        what = f"{str(text)!r}, line {index + 1}"
        words = line.split()
        if len(words) == 5:
            raise DataSetError(
                f"{what} is a box, not a polygon (4 numbers after the class): this is a dataset "
                "for detection; export it for segmentation"
            )
        if words:
            regions.append(_region(words, size, numbers, classes, what))
    return size, regions


def _region(
    words: list[str], size: Size, numbers: dict[int, str], classes: ClassNames, what: str
) -> Region:
    try:
        number, values = int(words[0]), [float(one) for one in words[1:]]
    except ValueError:
        number, values = -1, []
    usual = all(math.isfinite(one) and -FARTHEST <= one <= 1 + FARTHEST for one in values)
    if len(values) < 6 or len(values) % 2 or not usual:
        raise DataSetError(
            f"{what} is {shown(' '.join(words))}; expected the number of a class and x and y, from "
            "0 to 1, of at least three corners"
        )
    class_id = classes.id_of(numbers.get(number, number), what)
    return polygons(class_id, [np.array(values).reshape(-1, 2) * size[::-1]])
