"""Projects of Supervisely: a folder for each dataset, with images and a JSON file for each."""

import base64
import zlib
from functools import partial
from pathlib import Path
from typing import Any

from modelscope_vitadapter.datasets.files import subfolders
from modelscope_vitadapter.datasets.layouts.annotations import (
    ClassNames,
    checked,
    class_names,
    images_in,
    member,
    part_of,
    png_pixels,
    read_json,
    splits_in,
    warn_skipped,
)
from modelscope_vitadapter.datasets.layouts.layout import Found
from modelscope_vitadapter.datasets.polygons import (
    DrawnRegions,
    Region,
    Size,
    bitmap,
    checked_size,
    polygons,
    rectangle,
    ring_of,
)
from modelscope_vitadapter.errors import DataSetError

NAME = "supervisely"
LOOK = "meta.json beside DATASET/img/x.jpg + DATASET/ann/x.jpg.json; datasets are the splits"

META = "meta.json"
MACHINE, COLORS = "masks_machine", "obj_class_to_machine_color.json"
"""Label maps that Supervisely exports beside the JSON files, and the ids of the classes in them."""


def splits(root: Path) -> list[str] | None:
    """See `layout`."""
    return splits_in(_parts(root))


def find(root: Path, split: str | None) -> Found:
    """See `layout`. Where `masks_machine` is there, its label maps are taken as they are.

    Raises:
        DataSetError: meta.json lists no classes, or an image has no label map there.
    """
    folder: Path = part_of(_parts(root), root, split, LOOK)
    images = images_in(folder / "img")
    if (folder / MACHINE).is_dir():
        return _machine_masks(root, folder, images)
    what = f"{str(root / META)!r}"
    listed = member(read_json(root / META), "classes", list, what)
    classes = class_names(member(one, "title", str, f"a class of {what}") for one in listed)
    pairs = []
    for image in images:
        file = folder / "ann" / f"{image.name}.json"
        identity = classes.identity(file, root)
        load = partial(_load, file, classes)
        pairs.append((image, DrawnRegions(identity, len(classes.names), load)))
    return Found(pairs, classes.names)


def _parts(root: Path) -> dict[str | None, Path]:
    if not (root / META).is_file():
        return {}
    return {
        name: root / name
        for name in subfolders(root)
        if (root / name / "img").is_dir()
        and any((root / name / one).is_dir() for one in ("ann", MACHINE))
    }


def _machine_masks(root: Path, folder: Path, images: list[Path]) -> Found:
    names = _machine_names(root / COLORS) if (root / COLORS).is_file() else None
    pairs = []
    for image in images:
        paths = [folder / MACHINE / f"{one}.png" for one in (image.stem, image.name)]
        pairs.append((image, next((one for one in paths if one.is_file()), None)))
    return Found(pairs, names)


def _machine_names(file: Path) -> tuple[str, ...] | None:
    """The classes by id; None where ids are left out, so that no list tells them."""
    found = {0: "background"}
    for name, color in read_json(file).items():
        what = f"the colour of {name!r} in {str(file)!r}"
        values = color if isinstance(color, list) and color else [color]
        found[checked(values[0], int, what)] = name
    return tuple(found[one] for one in sorted(found)) if max(found) == len(found) - 1 else None


def _load(file: Path, classes: ClassNames) -> tuple[Size, list[Region]]:
    content, what = read_json(file), f"{str(file)!r}"
    given = member(content, "size", dict, what)
    size = checked_size(given.get("height"), given.get("width"), what)
    objects = member(content, "objects", list, what)
    found = (
        _region(one, size, classes, f"object {index} of {what}", str(file.parent))
        for index, one in enumerate(objects)
    )
    return size, [one for one in found if one is not None]


def _region(one: Any, size: Size, classes: ClassNames, what: str, folder: str) -> Region | None:
    class_id = classes.id_of(member(one, "classTitle", str, what), what)
    kind = member(one, "geometryType", str, what)
    if kind == "bitmap":
        data = member(one, "bitmap", dict, what)
        origin = ring_of(member(data, "origin", list, what), what)
        if len(origin) != 1:
            raise DataSetError(f"{what} has no origin [x, y]")
        left, top = map(int, origin[0])
        content = _unpack(member(data, "data", str, what), size, what)
        return bitmap(class_id, left, top, png_pixels(content, size, what))
    if kind not in ("polygon", "rectangle"):
        warn_skipped(kind, folder)
        return None
    points = member(one, "points", dict, what)
    exterior = ring_of(member(points, "exterior", list, what), what)
    if kind == "polygon":
        holes = [ring_of(hole, what) for hole in checked(points.get("interior") or [], list, what)]
        return polygons(class_id, [exterior], holes)
    if len(exterior) < 2:
        raise DataSetError(f"{what} is a rectangle of {len(exterior)} points; expected 2")
    # Of a rectangle the last pixels are named, which belong to it.
    return polygons(class_id, [rectangle(*exterior.min(0), *(exterior.max(0) + 1))])


def _unpack(data: str, size: Size, what: str) -> bytes:
    """A packed PNG, which can't be larger than the image's pixels without being packed."""
    unpacker = zlib.decompressobj()
    try:
        packed = base64.b64decode(data, validate=True)
        content = unpacker.decompress(packed, size[0] * size[1] * 4 + 2**16)
    except (ValueError, zlib.error) as error:
        raise DataSetError(f"{what} has a bitmap that can't be unpacked ({error})") from None
    if not unpacker.eof:
        raise DataSetError(f"{what} has a bitmap that is cut short, or larger than its image")
    return content
