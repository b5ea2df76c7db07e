"""The layouts that are known, and which of them a folder has."""

from pathlib import Path
from typing import Any, cast

from modelscope_vitadapter.datasets.files import holds_images, is_split_name, subfolders
from modelscope_vitadapter.datasets.layouts import (
    ade20k,
    camvid,
    cityscapes,
    coco_json,
    cvat_masks,
    cvat_xml,
    drive,
    folders,
    isaid,
    kitti,
    labelme,
    labelme2voc,
    loveda,
    mapillary,
    paddleseg,
    pascal_context,
    potsdam,
    roboflow,
    supervisely,
    voc,
    yolo,
)
from modelscope_vitadapter.datasets.layouts.layout import Layout
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from modelscope_vitadapter.hints import option
from modelscope_vitadapter.logs import get_logger

_MODULES: Any = (
    *(ade20k, camvid, cityscapes, coco_json, cvat_masks, cvat_xml, drive, isaid, kitti),
    *(labelme, labelme2voc, loveda, mapillary, paddleseg, pascal_context, potsdam, roboflow),
    *(supervisely, voc, yolo, folders),
)

LAYOUTS: dict[str, Layout] = {cast(Layout, one).NAME: one for one in _MODULES}
"""By name; `folders`, which fits most, comes last."""

POLYGONS = frozenset(one.NAME for one in (coco_json, cvat_xml, labelme, yolo))
"""Layouts that are only taken where there are no label maps."""

DEPTH = 2
"""Folders that hold nothing but one other folder, as archives have them, that are entered."""


def recognise(root: Path, name: str | None = None) -> tuple[Layout, Path, list[str]]:
    """Tells the layout of a folder or file; or looks whether it has the one that is named.

    Returns:
        The layout, the folder that has it, which may lie below `root`, and its parts.

    Raises:
        DataSetNotFoundError: there is no such folder or file.
        DataSetError: no layout fits, or several do and none was named.
    """
    if name is not None and name not in LAYOUTS:
        raise DataSetError(f"{option('layout', name)}: expected one of {', '.join(LAYOUTS)}")
    if not root.exists():
        raise DataSetNotFoundError(
            f"dataset {str(root)!r} does not exist: expected a folder, such as one with images/ "
            "beside labels/, or a table, list or annotation file"
        )
    places = _places(root)
    for place in places:
        fitting = _fitting(place, name)
        if len(fitting) > 1:
            raise DataSetError(
                f"{str(place)!r} can be read in several ways: choose one, "
                f"{' or '.join(option('layout', one) for one in fitting)}"
            )
        for found in fitting:
            return LAYOUTS[found], place, fitting[found]
    inside = _datasets_in(places[-1], name)
    if len(inside) > 1:
        raise DataSetError(
            f"{str(places[-1])!r} holds several datasets: give one of them, such as "
            f"{str(inside[0])!r}, or {option('layout', folders.NAME)} to have each as a part"
        )
    if inside:
        return recognise(inside[0], name)
    parts = folders.splits(places[-1]) if name in (None, folders.NAME) else None
    if parts is None:
        raise DataSetError(_nothing_fits(root, name))
    return LAYOUTS[folders.NAME], places[-1], parts


def _fitting(place: Path, name: str | None) -> dict[str, list[str]]:
    """The layouts of a folder and their parts; `folders` only in place of polygons."""
    found = {
        one.NAME: parts
        for one in LAYOUTS.values()
        if name in (None, one.NAME)
        and one.NAME != folders.NAME
        and (parts := one.splits(place)) is not None
    }
    polygons = found.keys() & POLYGONS
    if name is not None or not polygons or not folders.has_label_maps(place):
        return found
    text = "%s: label maps are read, %s reads the polygons"
    get_logger().info(text, place, " or ".join(option("layout", one) for one in sorted(polygons)))
    others = {one: parts for one, parts in found.items() if one not in polygons}
    return others or {folders.NAME: folders.splits(place) or []}


def _datasets_in(root: Path, name: str | None) -> list[Path]:
    """The datasets beside each other in a folder that is none itself; none if all are plain."""
    below = subfolders(root)
    if holds_images(root) or folders.named(root, folders.IMAGE_FOLDERS):
        return []
    if any(map(is_split_name, below)):
        return []
    found = {one for one in below if any(_fitting(at, name) for at in _places(root / one))}
    if found and name is None:
        found.update(folders.splits(root) or [])
    return [root / one for one in sorted(found)]


def _places(root: Path) -> list[Path]:
    """A folder, and what it holds if that is nothing but another folder, as archives have it."""
    places = [root]
    while len(below := subfolders(places[-1])) == 1 and len(places) <= DEPTH:
        if is_split_name(below[0]) or holds_images(places[-1]):
            break
        places.append(places[-1] / below[0])
    return places


def _nothing_fits(root: Path, name: str | None) -> str:
    if name is not None:
        return f"{str(root)!r} has no layout {name!r}, which is: {LAYOUTS[name].LOOK}"
    if root.is_file():
        return (
            f"{str(root)!r} is no dataset that is read: expected a table (.csv, .tsv, .jsonl, "
            ".parquet), a list of images and label maps (.txt), COCO's annotations (.json), "
            "CVAT's (.xml), or a folder"
        )
    return (
        f"{str(root)!r} holds no images in a layout that is known: expected, for example, images/ "
        f"beside labels/; {option('pairs', ('images/{}.jpg', 'masks/{}.png'))} reads any other"
    )
