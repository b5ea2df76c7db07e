"""labelme's JSON files, each beside its image or in a folder beside the images."""

import base64
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from modelscope_vitadapter.datasets.files import files_below, subfolders
from modelscope_vitadapter.datasets.label_ids import IGNORED
from modelscope_vitadapter.datasets.layouts.annotations import (
    ClassNames,
    Parts,
    checked,
    class_names,
    inside,
    member,
    part_of,
    parts_of,
    png_pixels,
    read_json,
    read_lines,
    splits_in,
    upright_size,
    warn_skipped,
)
from modelscope_vitadapter.datasets.layouts.layout import Found
from modelscope_vitadapter.datasets.polygons import (
    DrawnRegions,
    Region,
    Ring,
    Size,
    bitmap,
    checked_size,
    polygons,
    rectangle,
    ring_of,
)
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.images.reading import IMAGE_SUFFIXES
from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.validation import listing

NAME = "labelme"
LOOK = "x.json beside x.jpg, or images/ + labels/ of them, with or without folders of splits"

LABEL_FOLDERS = ("labels", "label", "annotations", "json", "jsons", "labelme")
CLASS_FILES = ("labels.txt", "classes.txt", "class_names.txt")
"""A name a line; without one, the names are those in all files, sorted."""

IGNORE = "__ignore__"
"""labelme's name for what is not counted."""

CORNERS = 128
"""Of a circle."""

JSON = frozenset({".json"})


def splits(root: Path) -> list[str] | None:
    """See `layout`."""
    return splits_in(_parts(root))


def find(root: Path, split: str | None) -> Found:
    """See `layout`. Images without a file are left out, with a note in the log.

    Raises:
        DataSetError: a file names no image that is there.
    """
    parts = _parts(root)
    images, labels = part_of(parts, root, split, LOOK)
    classes = _classes(root, parts)
    by_stem = {_key(images, path): path for path in files_below(images, IMAGE_SUFFIXES)}
    pairs = []
    for file in files_below(labels, JSON):
        image = by_stem.pop(_key(labels, file), None) or _named_image(file, root)
        if image is not None:
            identity = classes.identity(file, root)
            load = partial(_load, file, image, classes)
            pairs.append((image, DrawnRegions(identity, len(classes.names), load)))
    if by_stem:
        left_out = listing([str(one) for one in by_stem.values()])
        get_logger().warning(
            "%d images have no JSON file and are left out: %s", len(by_stem), left_out
        )
    return Found(pairs, classes.names)


def _parts(root: Path) -> Parts:
    if not root.is_dir():
        return {}
    found = parts_of(root, LABEL_FOLDERS, ".json")
    found = {key: pair for key, pair in found.items() if _match(*pair)}
    if not found and _match(root, root, below=False):
        return {None: (root, root)}
    for name in () if found else subfolders(root):
        if _match(root / name, root / name):
            found[name] = root / name, root / name
    return found


def _match(images: Path, labels: Path, below: bool = True) -> bool:
    """Whether a JSON file with shapes is called as an image."""
    files = files_below(labels, JSON) if below else sorted(labels.glob("*.json"))
    found = files_below(images, IMAGE_SUFFIXES) if below else images.iterdir()
    stems = {_key(images, one) for one in found if one.suffix.lower() in IMAGE_SUFFIXES}
    first = next((one for one in files if _key(labels, one) in stems), None)
    return first is not None and "shapes" in read_json(first)


def _key(root: Path, path: Path) -> str:
    return path.relative_to(root).with_suffix("").as_posix()


def _named_image(file: Path, root: Path) -> Path | None:
    """The image that a file without one of its name speaks of; None where it is not labelme's."""
    content = read_json(file)
    if "shapes" not in content:
        return None
    what = f"{str(file)!r}"
    name = member(content, "imagePath", str, what)
    place = file.parent.relative_to(root).as_posix()
    image = inside(root, f"{place}/{name}" if name[:1] not in "/\\" else name, what)
    if not image.is_file():
        raise DataSetError(f"{what} is about the image {name!r}, which is not there")
    return image


def _classes(root: Path, parts: Parts) -> ClassNames:
    for name in CLASS_FILES:
        if (root / name).is_file():
            return class_names(one for one in read_lines(root / name) if one not in ("", IGNORE))
    names: set[str] = set()
    for file in (one for _, labels in parts.values() for one in files_below(labels, JSON)):
        what = f"{str(file)!r}"
        shapes = checked(read_json(file).get("shapes", []), list, f"'shapes' of {what}")
        names |= {member(one, "label", str, f"a shape of {what}") for one in shapes}
    return class_names(sorted(names - {IGNORE}))


def _load(file: Path, image: Path, classes: ClassNames) -> tuple[Size, list[Region]]:
    content, what = read_json(file), f"{str(file)!r}"
    height, width = content.get("imageHeight"), content.get("imageWidth")
    if height is None or width is None:  # old versions wrote none
        height, width = upright_size(image)
    size, shapes = checked_size(height, width, what), member(content, "shapes", list, what)
    found = (
        _region(one, size, classes, f"shape {index} of {what}", str(file.parent))
        for index, one in enumerate(shapes)
    )
    return size, [one for one in found if one is not None]


def _region(shape: Any, size: Size, classes: ClassNames, what: str, folder: str) -> Region | None:
    label = member(shape, "label", str, what)
    class_id = IGNORED if label == IGNORE else classes.id_of(label, what)
    points = ring_of(member(shape, "points", list, what), what)
    kind = shape.get("shape_type") or "polygon"
    if kind in ("rectangle", "circle", "mask") and len(points) < 2:
        raise DataSetError(f"{what} is a {kind} of {len(points)} points; expected 2")
    if kind == "polygon":
        return polygons(class_id, [points])
    if kind == "rectangle":  # two opposite corners, in new versions all four
        return polygons(class_id, [rectangle(*points.min(0), *points.max(0))])
    if kind == "circle":
        return polygons(class_id, [_circle(points)])
    if kind == "mask":
        try:
            content = base64.b64decode(member(shape, "mask", str, what), validate=True)
        except ValueError as error:
            raise DataSetError(f"{what} has a mask that is not in base64 ({error})") from None
        left, top = map(int, points[0])
        return bitmap(class_id, left, top, png_pixels(content, size, what))
    warn_skipped(str(checked(kind, str, f"'shape_type' of {what}")), folder)
    return None


def _circle(points: Ring) -> Ring:
    """The outline of a circle from its centre and a point on it."""
    radius = math.dist(points[0], points[1])
    angles = np.arange(CORNERS) * (2 * np.pi / CORNERS)
    outline: Ring = points[0] + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return outline
