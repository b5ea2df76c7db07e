"""CVAT for images 1.1: an XML of all images, with a mask for each class in each of them.

A mask is run lengths of its box, row by row. Pixels of no mask are ignored.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from modelscope_vitadapter.datasets.layouts.annotations import read_text
from modelscope_vitadapter.datasets.polygons import bitmap, checked_size, decode_runs
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.formats.files import hexadecimal, palette_of, text_file
from modelscope_vitadapter.formats.runs import class_runs
from modelscope_vitadapter.formats.segmentation import (
    Palette,
    Segmentation,
    check_distinct,
    no_classes,
    of_one_dataset,
    paint,
)
from modelscope_vitadapter.validation import shown


def write(path: Path, many: Iterable[Segmentation]) -> None:
    """Writes a file; one image is held at a time.

    Raises:
        DataSetError: images have different classes, or two classes have one name.
    """
    images = of_one_dataset(many)
    first = list(islice(images, 1))
    with text_file(path) as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n')
        file.write("  <version>1.1</version>\n  <meta>\n    <task>\n      <labels>\n")
        for one in first:
            file.writelines(_labels(one))
        file.write("      </labels>\n    </task>\n  </meta>\n")
        for number, one in enumerate(chain(first, images)):
            file.writelines(_lines(one, number))
        file.write("</annotations>\n")


def read(path: Path) -> Iterator[Segmentation]:
    """Reads a file; later masks cover earlier ones.

    Raises:
        DataSetError: it can't be read, or has other shapes than masks.
    """
    what = f"{str(path)!r}"
    text = read_text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataSetError(f"{what} declares a document type or entities, which CVAT never does")
    try:
        tree = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise DataSetError(f"{what} can't be read as XML ({error}); export it anew") from None
    labels = tree.findall("meta//labels/label")
    classes = tuple(one.findtext("name", "") for one in labels)
    palette = palette_of([one.findtext("color") for one in labels], what)
    check_distinct(classes, what)
    return (_image(one, classes, palette, what) for one in tree.findall("image"))


def _labels(one: Segmentation) -> Iterator[str]:
    check_distinct(one.classes, "CVAT")
    for class_id, name in enumerate(one.classes):
        colour = "" if one.palette is None else hexadecimal(one.palette[class_id])
        colour = colour and f"<color>{colour}</color>"
        yield (
            f"        <label><name>{escape(name)}</name>{colour}<type>any</type>"
            "<attributes></attributes></label>\n"
        )


def _lines(one: Segmentation, number: int) -> Iterator[str]:
    height, width = one.size
    name = quoteattr(one.name)
    yield f'  <image id="{number}" name={name} width="{width}" height="{height}">\n'
    for runs in class_runs(one.class_map):
        left, top, box_width, box_height = runs.box
        counts = ", ".join(map(str, runs.counts(runs.box).tolist()))
        yield (
            f"    <mask label={quoteattr(one.classes[runs.class_id])} "
            f'source="auto" occluded="0" rle="{counts}" left="{left}" top="{top}" '
            f'width="{box_width}" height="{box_height}" z_order="0"></mask>\n'
        )
    yield "  </image>\n"


def _image(
    element: Any, classes: tuple[str, ...], palette: Palette | None, file: str
) -> Segmentation:
    name = element.get("name", "")
    what = f"image {shown(name)} of {file}"
    size = checked_size(_whole(element, "height", what), _whole(element, "width", what), what)
    class_map = no_classes(size, len(classes))
    for index, one in enumerate(element):
        place = f"shape {index} of {what}"
        label = one.get("label")
        if one.tag != "mask" or label not in classes:
            raise DataSetError(
                f"{place} is a {shown(one.tag)} of the class {shown(label)}; expected masks of "
                "classes that are listed: open other files as a dataset"
            )
        box = [_whole(one, key, place) for key in ("left", "top", "width", "height")]
        part = checked_size(box[3], box[2], place)
        try:
            counts = np.array(one.get("rle", "").split(","), np.int64)
        except (ValueError, OverflowError):
            raise DataSetError(f"{place} has run lengths that are no whole numbers") from None
        pixels = decode_runs(counts, part, place)
        paint(class_map, bitmap(classes.index(label), box[0], box[1], pixels))
    return Segmentation(class_map, classes, palette, name)


def _whole(element: Any, key: str, what: str) -> int:
    try:
        return int(element.get(key, ""))
    except ValueError:
        raise DataSetError(
            f"{what} has {key}={shown(element.get(key))}, expected a whole number"
        ) from None
