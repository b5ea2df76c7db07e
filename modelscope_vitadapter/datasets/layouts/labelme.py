"""labelme's JSON files, each beside its image or in a folder beside the images."""

import base64
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from modelscope_vitadapter.datasets.files import files_below, key_of, subfolders
from modelscope_vitadapter.datasets.label_ids import IGNORED
from modelscope_vitadapter.datasets.layouts.annotations import (
    ClassNames,
    Parts,
    checked,
    class_names,
    inside,
    match,
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

KINDS = ("polygon", "rectangle", "circle", "mask")
"""Shapes that cover an area."""

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
    by_stem = {key_of(images, path): path for path in files_below(images, IMAGE_SUFFIXES)}
    pairs = []
    for file in files_below(labels, JSON):
        image = by_stem.pop(key_of(labels, file), None) or _named_image(file, root)
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
    beside = [one for one in root.glob("*.json") if not one.name.startswith(".")]
    stems = {one.stem for one in root.iterdir() if one.suffix.lower() in IMAGE_SUFFIXES}
    if not found and any(one.stem in stems for one in beside):
        found = {None: (root, root)}
    for name in () if found else subfolders(root):
        if match(root / name, root / name, ".json"):
            found[name] = root / name, root / name
    return {split: place for split, place in found.items() if _has_shapes(place[1])}


def _has_shapes(labels: Path) -> bool:
    """Whether the first JSON file is labelme's; other programs write JSON beside images too."""
    first = next(files_below(labels, JSON), None)
    return first is not None and "shapes" in read_json(first)


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
    kind = checked(checked(shape, dict, what).get("shape_type") or "polygon", str, what)
    if kind not in KINDS:
        warn_skipped(kind, folder)
        return None
    label = member(shape, "label", str, what)
    class_id = IGNORED if label == IGNORE else classes.id_of(label, what)
    points = ring_of(member(shape, "points", list, what), what)
    if kind != "polygon" and len(points) < 2:
        raise DataSetError(f"{what} is a {kind} of {len(points)} points; expected 2")
    if kind == "polygon":
        return polygons(class_id, [points])
    if kind == "rectangle":  # two opposite corners, in new versions all four
        return polygons(class_id, [rectangle(*points.min(0), *points.max(0))])
    if kind == "circle":
        return polygons(class_id, [_circle(points)])
    try:
        content = base64.b64decode(member(shape, "mask", str, what), validate=True)
    except ValueError as error:
        raise DataSetError(f"{what} has a mask that is not in base64 ({error})") from None
    left, top = map(int, points[0])
    return bitmap(class_id, left, top, png_pixels(content, size, what))


def _circle(points: Ring) -> Ring:
    """The outline of a circle from its centre and a point on it."""
    radius = math.dist(points[0], points[1])
    angles = np.arange(CORNERS) * (2 * np.pi / CORNERS)
    outline: Ring = points[0] + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return outline
