"""labelme's JSON, a file an image: a polygon for each region.

labelme has no holes: they are joined to the outline by a cut, see `outlines`. It knows neither the
list of classes nor colours; they are under keys of ours, which labelme keeps when it saves a file.
"""

from pathlib import Path
from typing import Any

from modelscope_vitadapter.datasets.label_ids import IGNORED
from modelscope_vitadapter.datasets.layouts.annotations import member, read_json
from modelscope_vitadapter.datasets.polygons import checked_size, polygons, ring_of
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.formats.files import hexadecimal, names_of, palette_of, write_json
from modelscope_vitadapter.formats.outlines import outlines
from modelscope_vitadapter.formats.segmentation import (
    Segmentation,
    check_distinct,
    no_classes,
    paint,
)
from modelscope_vitadapter.validation import shown

VERSION = "5.5.0"
"""Of labelme, whose form this is."""

IGNORE = "__ignore__"
"""labelme's name for what is not counted."""


def write(path: Path, one: Segmentation, tolerance: float = 0.0) -> None:
    """Writes polygons; labelme looks for the image at `one.name` from the file's folder on.

    Args:
        path: the JSON.
        one: what is written.
        tolerance: see `outlines`.

    Raises:
        DataSetError: two classes have one name.
    """
    check_distinct(one.classes, "labelme")
    height, width = one.size
    shapes = [
        {
            "label": one.classes[class_id],
            "points": ring.tolist(),
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
        }
        for class_id, ring in outlines(one.class_map, tolerance)
    ]
    content: dict[str, Any] = {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": one.name,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
        "classes": one.classes,
    }
    if one.palette is not None:
        content["palette"] = [hexadecimal(colour) for colour in one.palette]
    write_json(path, content)


def read(path: Path) -> Segmentation:
    """Reads polygons; later ones cover earlier ones, and pixels in none are ignored.

    Of files without our list of classes, the classes are the labels that are there, sorted.

    Raises:
        DataSetError: it can't be read, or has other shapes than polygons.
    """
    content, what = read_json(path), f"{str(path)!r}"
    size = checked_size(content.get("imageHeight"), content.get("imageWidth"), what)
    shapes = member(content, "shapes", list, what)
    labels = [member(one, "label", str, f"a shape of {what}") for one in shapes]
    classes = names_of(content.get("classes") or sorted({*labels} - {IGNORE}), what)
    names = {name: class_id for class_id, name in enumerate(classes)}
    class_map = no_classes(size, len(names))
    for index, (label, shape) in enumerate(zip(labels, shapes, strict=True)):
        place = f"shape {index} of {what}"
        if shape.get("shape_type", "polygon") != "polygon":
            raise DataSetError(
                f"{place} is a {shown(shape['shape_type'])}; expected polygons: open a folder of "
                "such files as a dataset"
            )
        class_id = names.get(label, IGNORED)
        if class_id == IGNORED and label != IGNORE:
            raise DataSetError(f"{place} is of the class {shown(label)}, which is not listed")
        paint(class_map, polygons(class_id, [ring_of(shape.get("points"), place)]))
    palette = palette_of(content.get("palette") or [None], what)
    return Segmentation(class_map, classes, palette, member(content, "imagePath", str, what))
