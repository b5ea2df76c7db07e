"""The layouts that are known, and which of them a folder has."""

from pathlib import Path
from typing import Any, cast

from modelscope_vitadapter.datasets.files import SPLIT_NAMES, holds_images, subfolders
from modelscope_vitadapter.datasets.layouts import (
    ade20k,
    camvid,
    cityscapes,
    coco_json,
    cvat_masks,
    cvat_xml,
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

_MODULES: Any = (
    *(ade20k, camvid, cityscapes, coco_json, cvat_masks, cvat_xml, isaid, kitti, labelme),
    *(labelme2voc, loveda, mapillary, paddleseg, pascal_context, potsdam, roboflow, supervisely),
    *(voc, yolo, folders),
)

LAYOUTS: dict[str, Layout] = {cast(Layout, one).NAME: one for one in _MODULES}
"""By name; `folders`, which fits most, comes last."""

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
        fitting = {
            one.NAME: parts
            for one in LAYOUTS.values()
            if name in (None, one.NAME)
            and one.NAME != folders.NAME
            and (parts := one.splits(place)) is not None
        }
        if len(fitting) > 1:
            raise DataSetError(
                f"{str(place)!r} can be read in several ways: choose one, "
                f"{' or '.join(option('layout', one) for one in fitting)}"
            )
        for found in fitting:
            return LAYOUTS[found], place, fitting[found]
    parts = folders.splits(places[-1]) if name in (None, folders.NAME) else None
    if parts is None:
        raise DataSetError(_nothing_fits(root, name))
    return LAYOUTS[folders.NAME], places[-1], parts


def _places(root: Path) -> list[Path]:
    """A folder, and what it holds if that is nothing but another folder, as archives have it."""
    places = [root]
    names = {one for meant in SPLIT_NAMES for one in meant} | set(folders.IMAGE_FOLDERS)
    while len(below := subfolders(places[-1])) == 1 and len(places) <= DEPTH:
        if below[0].lower() in names or holds_images(places[-1]):
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
