"""The layouts that are known, and which of them a folder has."""

from pathlib import Path
from typing import Any, cast

from modelscope_vitadapter.datasets.files import subfolders
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
        raise DataSetError(f"layout={name!r}: expected one of {', '.join(LAYOUTS)}")
    if not root.exists():
        raise DataSetNotFoundError(
            f"dataset {str(root)!r} does not exist: expected a folder, such as one with images/ "
            "beside labels/, or a table, list or annotation file"
        )
    candidates = list(LAYOUTS.values()) if name is None else [LAYOUTS[name]]
    place = root
    for _ in range(DEPTH + 1):
        fitting = {
            one.NAME: parts for one in candidates if (parts := one.splits(place)) is not None
        }
        special = [one for one in fitting if one != folders.NAME]
        if len(special) > 1:
            raise DataSetError(
                f"{str(place)!r} can be read in several ways: choose one, "
                f"{' or '.join(option('layout', one) for one in special)}"
            )
        for found in special or fitting:
            return LAYOUTS[found], place, fitting[found]
        below = subfolders(place)
        if len(below) != 1:
            break
        place = place / below[0]
    raise DataSetError(_nothing_fits(root, name))


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
