"""CVAT's annotations of images, version 1.1: one XML file for all images."""

from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from modelscope_vitadapter.datasets.files import subfolders
from modelscope_vitadapter.datasets.layouts.annotations import (
    ClassNames,
    class_names,
    inside,
    part_of,
    read_text,
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
    decode_runs,
    polygons,
    rectangle,
    ring_of,
)
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from modelscope_vitadapter.validation import shown

NAME = "cvat-xml"
LOOK = "annotations.xml of 'CVAT for images 1.1' beside images/, or in a folder for each split"

FILE = "annotations.xml"
SUBSETS = ("train", "val", "valid", "validation", "test")
"""Folders in `images/` that are taken for CVAT's subsets, in any case."""

Objects = tuple[tuple[str, dict[str, str]], ...]
"""Kind and attributes of what is drawn in an image."""


def splits(root: Path) -> list[str] | None:
    """See `layout`; `root` may also be the XML file."""
    return splits_in(_files(root))


def find(root: Path, split: str | None) -> Found:
    """See `layout`. Images without shapes are all background.

    Raises:
        DataSetError: the file is not of this form, or its images aren't there.
    """
    file: Path = part_of(_files(root), root, split, LOOK)
    what = f"{str(file)!r}"
    tree = _read(file, what)
    images = tree.findall("image")
    listed = [one.text or "" for one in tree.findall("meta//labels/label/name")]
    classes = class_names(
        listed or sorted({shape.get("label", "") for one in images for shape in one} - {""})
    )
    folder = root.parent if root.is_file() else root
    head, pairs = classes.identity(file, folder), []
    for one in images:
        name, subset = one.get("name", ""), one.get("subset")
        if split is not None and file.parent == root and not _is_of(split, subset, name):
            continue
        place = f"image {name!r} of {what}"
        path = _path(file.parent, name, subset, place)
        size = checked_size(_whole(one, "height", place), _whole(one, "width", place), place)
        objects = tuple((shape.tag, dict(shape.attrib)) for shape in one)
        load = partial(_load, size, objects, classes, place)
        pairs.append((path, DrawnRegions(f"{head} {name}", len(classes.names), load)))
    if not pairs:
        where = "" if split is None else f" of the subset {split!r}"
        raise DataSetError(f"{what} lists no images{where}; expected 'CVAT for images 1.1'")
    return Found(pairs, classes.names)


def _files(root: Path) -> dict[str | None, Path]:
    """The annotation file of each split; of subsets it is the same."""
    if root.is_file():
        return {None: root} if root.suffix.lower() == ".xml" else {}
    if (root / FILE).is_file():
        subsets = [one for one in subfolders(root / "images") if one.lower() in SUBSETS]
        return dict.fromkeys(subsets, root / FILE) if subsets else {None: root / FILE}
    return {name: root / name / FILE for name in subfolders(root) if (root / name / FILE).is_file()}


def _read(file: Path, what: str) -> ElementTree.Element:
    text = read_text(file)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataSetError(
            f"{what} declares a document type or entities, which CVAT never does: not read"
        )
    try:
        tree = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise DataSetError(f"{what} can't be read as XML ({error}); export it anew") from None
    if tree.tag != "annotations":
        raise DataSetError(f"{what} is no annotation file of CVAT: it holds <{tree.tag[:40]}>")
    return tree


def _is_of(split: str, subset: str | None, name: str) -> bool:
    return subset == split if subset else name.startswith(f"{split}/")


def _path(folder: Path, name: str, subset: str | None, what: str) -> Path:
    names = [f"{subset}/{name}", name] if subset else [name]
    places = [inside(folder, one, what) for one in [*(f"images/{one}" for one in names), *names]]
    for path in places:
        if path.is_file():
            return path
    raise DataSetNotFoundError(
        f"{what} is not there; looked for {', '.join(repr(str(one)) for one in places)}"
    )


def _whole(element: Any, key: str, what: str) -> int:
    text = element.get(key, "0")
    try:
        return int(text)
    except ValueError:
        raise DataSetError(f"{what} has {key}={shown(text)}, expected a whole number") from None


def _numbers(text: str, what: str) -> list[float]:
    try:
        return [float(one) for one in text.replace(";", ",").split(",") if one.strip()]
    except ValueError:
        raise DataSetError(f"{what} has the coordinates {shown(text)}, expected numbers") from None


def _load(
    size: Size, objects: Objects, classes: ClassNames, image: str
) -> tuple[Size, list[Region]]:
    regions = []
    for index, (kind, values) in enumerate(objects):
        if kind in ("polygon", "box", "mask"):
            regions.append(_region(kind, values, size, classes, f"shape {index} of {image}"))
        elif kind != "tag":
            warn_skipped(kind, image.partition(" of ")[2])
    return size, regions


def _region(
    kind: str, values: dict[str, str], size: Size, classes: ClassNames, what: str
) -> Region:
    class_id = classes.id_of(values.get("label"), what)
    order = _whole(values, "z_order", what)
    if kind == "polygon":
        return polygons(
            class_id, [ring_of(_numbers(values.get("points", ""), what), what)], order=order
        )
    if kind == "box":
        sides = [_numbers(values.get(key, ""), what) for key in ("xtl", "ytl", "xbr", "ybr")]
        if any(len(one) != 1 for one in sides):
            raise DataSetError(f"{what} is a box that lacks xtl, ytl, xbr or ybr")
        corners = ring_of([one for side in sides for one in side], what)
        return polygons(class_id, [rectangle(*corners[0], *corners[1])], order=order)
    left, top = _whole(values, "left", what), _whole(values, "top", what)
    part = checked_size(_whole(values, "height", what), _whole(values, "width", what), what)
    runs = _numbers(values.get("rle", ""), what)
    pixels = decode_runs([int(one) if one == one // 1 else one for one in runs], part, what)
    return bitmap(class_id, left, top, pixels, order)
