"""COCO's annotations in JSON: polygons and run lengths of all images in one file."""

import re
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.datasets.files import holds_images, is_split_name, subfolders
from modelscope_vitadapter.datasets.layouts.annotations import (
    ClassNames,
    checked,
    class_names,
    inside,
    member,
    part_of,
    read_json,
    splits_in,
)
from modelscope_vitadapter.datasets.layouts.layout import Found
from modelscope_vitadapter.datasets.polygons import (
    DrawnRegions,
    Region,
    Size,
    bitmap,
    checked_size,
    decode_compressed,
    decode_runs,
    polygons,
    ring_of,
)
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from modelscope_vitadapter.logs import get_logger

NAME = "coco-json"
LOOK = "annotations/instances_train2017.json + train2017/x.jpg, or train/_annotations.coco.json"

FILES = ("_annotations.coco.json", "annotations.json", "result.json")
"""What the file may be called beside the images: by Roboflow, by many, by Label Studio."""

PREFIX = "instances_"

HEAD, KEYS = 4096, re.compile(rb'"(info|images|annotations|categories|licenses)"\s*:')
"""How many bytes of a file are looked at to tell it, and for what."""

Ids = dict[int | str, int]
"""Class ids by the file's category ids."""


class _Object(NamedTuple):
    """What is kept of an annotation."""

    id: object
    image_id: object
    category_id: object
    segmentation: Any  # as in the file, but for lists of numbers, which are arrays


def splits(root: Path) -> list[str] | None:
    """See `layout`; `root` may also be the JSON file."""
    return splits_in(_files(root))


def find(root: Path, split: str | None) -> Found:
    """See `layout`. Images without annotations are all background.

    Raises:
        DataSetError: the file is not of this form, has boxes only, or its images aren't there.
    """
    file: Path = part_of(_files(root), root, split, LOOK)
    content, what = read_json(file, _compact), f"{str(file)!r}"
    classes, ids = _categories(member(content, "categories", list, what), what)
    objects = _by_image(member(content, "annotations", list, what), what)
    images = member(content, "images", list, what)
    if not images:
        raise DataSetError(f"{what} lists no images")
    folder = root.parent if root.is_file() else root
    base = _base(file, folder, split, member(images[0], "file_name", str, f"image 0 of {what}"))
    head, pairs = classes.identity(file, folder), []
    for index, one in enumerate(images):
        place = f"image {index} of {what}"
        name = member(one, "file_name", str, place)
        size = checked_size(one.get("height"), one.get("width"), place)
        own = objects.get(member(one, "id", (int, str), place), [])
        load = partial(_load, size, own, ids, what)
        labels = DrawnRegions(f"{head} {name}", len(classes.names), load)
        pairs.append((inside(base, name, place), labels))
    return Found(pairs, classes.names)


def _files(root: Path) -> dict[str | None, Path]:
    """The annotation file of each split."""
    if root.is_file():
        return {None: root} if root.suffix.lower() == ".json" else {}
    found: dict[str | None, Path] = {}
    files = (*root.glob("annotations/*.json"), *root.glob("annotations_*/annotations/*.json"))
    for path in sorted(files):
        name = path.stem.removeprefix(PREFIX)
        folders = (root / name, root / "images" / name)
        beside_flat = is_split_name(name) and holds_images(root / "images")
        if path.stem.startswith(PREFIX) or beside_flat or any(one.is_dir() for one in folders):
            found.setdefault(name, path)
    for name in () if found else ("", *subfolders(root)):
        beside = [root / name / one for one in FILES if _is_coco(root / name / one)]
        if beside:
            found[name or None] = beside[0]
            if not name:
                break
    return found


def _is_coco(path: Path) -> bool:
    """Whether a file, by its first letters, has what COCO's have; others are called so too."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return KEYS.search(file.read(HEAD)) is not None


def _base(file: Path, folder: Path, split: str | None, name: str) -> Path:
    """The folder that holds an image, and all others with it."""
    names = dict.fromkeys([split or "", file.stem.removeprefix(PREFIX), ""])
    tops = dict.fromkeys([folder, file.parent, folder / "images", file.parent / "images"])
    if folder.name == "annotations":  # the JSON file itself was given
        tops |= dict.fromkeys([folder.parent, folder.parent / "images", folder.parent.parent])
    places = [top / one for top in tops for one in names]
    for base in places:
        if inside(base, name, f"{str(file)!r}").is_file():
            return base
    raise DataSetNotFoundError(
        f"{str(file)!r} lists the image {name!r}, which is in none of the folders "
        f"{', '.join(dict.fromkeys(map(str, places)))}"
    )


def _categories(categories: list[Any], what: str) -> tuple[ClassNames, Ids]:
    """The classes in the order of their ids in the file, and the id of each."""
    place = f"a category of {what}"
    names = {
        member(one, "id", (int, str), place): member(one, "name", str, place) for one in categories
    }
    order = sorted(names, key=lambda key: (isinstance(key, str), key))
    classes = class_names(names[key] for key in order)
    return classes, {key: classes.id_of(name, what) for key, name in names.items()}


def _by_image(annotations: list[Any], what: str) -> dict[int | str, list[_Object]]:
    """The objects that can be drawn, by the id of their image."""
    found, boxes = defaultdict[int | str, list[_Object]](list), 0
    for index, one in enumerate(annotations):
        if not isinstance(one, _Object):
            raise DataSetError(
                f"annotation {index} (counted from 0) of {what} lacks image_id or category_id"
            )
        if one.segmentation:
            key = checked(one.image_id, (int, str), f"image_id of annotation {one.id!r} of {what}")
            found[key].append(one)
        else:
            boxes += 1
    if boxes and not found:
        raise DataSetError(
            f"{what} holds boxes only, no segmentation: this is a dataset for detection; export it "
            "with polygons or masks"
        )
    if boxes:
        get_logger().warning("%s: %d annotations have a box only: left out", what, boxes)
    return found


def _load(size: Size, objects: list[_Object], ids: Ids, file: str) -> tuple[Size, list[Region]]:
    return size, [_region(one, size, ids, f"annotation {one.id!r} of {file}") for one in objects]


def _region(one: _Object, size: Size, ids: Ids, what: str) -> Region:
    category = checked(one.category_id, (int, str), f"category_id of {what}")
    if category not in ids:
        raise DataSetError(f"{what} has the category {category!r}, which the file does not list")
    value = one.segmentation
    if not isinstance(value, dict):
        rings = [ring_of(ring, what) for ring in checked(value, list, f"segmentation of {what}")]
        return polygons(ids[category], rings)
    if list(member(value, "size", (list, np.ndarray), what)) != list(size):
        raise DataSetError(f"{what} has run lengths of another size than its image, {size}")
    counts = value.get("counts")
    if isinstance(counts, str):
        pixels = decode_compressed(counts, size, what)
    else:
        pixels = decode_runs(counts, size[::-1], what).T  # they run along columns
    return bitmap(ids[category], 0, 0, pixels)


def _compact(record: dict[str, Any]) -> Any:
    """What is kept of an object in the file, while it is read: a large one has millions."""
    if not {"image_id", "category_id"} <= record.keys():
        return record
    segmentation = record.get("segmentation")
    if isinstance(segmentation, list):
        segmentation = [_numbers(one) for one in segmentation]
    elif isinstance(segmentation, dict):
        segmentation = {key: _numbers(one) for key, one in segmentation.items()}
    return _Object(record.get("id"), record["image_id"], record["category_id"], segmentation)


def _numbers(value: Any) -> Any:
    """A list of numbers as an array; anything else as it is, to be refused when it is drawn."""
    try:
        array: NDArray[Any] = np.asarray(value)
    except (ValueError, OverflowError):
        return value
    if not isinstance(value, list) or array.dtype.kind not in "if":
        return value
    with np.errstate(over="ignore"):  # infinite numbers are refused when they are drawn
        return array.astype(np.float32) if array.dtype.kind == "f" else array
