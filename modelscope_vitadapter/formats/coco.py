"""What COCO's two JSON formats share: lists of images, of categories and of annotations.

A category's id is the class id plus one, since in COCO ids begin with 1.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelscope_vitadapter.datasets.layouts.annotations import checked, member, read_json
from modelscope_vitadapter.datasets.polygons import Size, checked_size
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.formats.files import as_json, palette_of, text_file
from modelscope_vitadapter.formats.segmentation import Palette, Segmentation, of_one_dataset
from modelscope_vitadapter.version import __version__

Record = dict[str, Any]
"""An object in the file."""


@dataclass(frozen=True)
class CocoImage:
    """An image in a file, and its annotations."""

    name: str
    size: Size
    annotations: list[Record]


@dataclass(frozen=True)
class CocoFile:
    """What is in a file."""

    images: list[CocoImage]
    classes: tuple[str, ...]
    palette: Palette | None
    ids: dict[int, int]  # class ids by category id


def write_coco(
    path: Path,
    many: Iterable[Segmentation],
    annotate: Callable[[int, Segmentation], Iterable[Record]],
    category: Callable[[Segmentation, int], Record],
) -> None:
    """Writes a file; one image is held at a time.

    Args:
        path: the JSON.
        many: all with the same classes.
        annotate: called with an image's id and the image, gives its annotations without their id.
        category: called with an image and a class id, gives what else its category has.
    """
    images: list[Record] = []
    categories: list[Record] = []
    with text_file(path) as file:
        separator = '{"annotations": [\n'
        for image_id, one in enumerate(of_one_dataset(many), start=1):
            height, width = one.size
            named = {"id": image_id, "file_name": one.name, "height": height, "width": width}
            images.append(named)
            categories = categories or [
                {"id": class_id + 1, "name": name, **category(one, class_id)}
                for class_id, name in enumerate(one.classes)
            ]
            for annotation in annotate(image_id, one):
                file.write(separator + as_json({"image_id": image_id, **annotation}))
                separator = ",\n"
        file.write("\n" if separator == ",\n" else separator)
        rest = {
            "info": {"description": f"modelscope-vitadapter {__version__}"},
            "licenses": [],
            "images": images,
            "categories": categories,
        }
        file.write(f"], {as_json(rest)[1:]}\n")


def read_coco(path: Path) -> CocoFile:
    """Reads the lists in a file; DataSetError where they are not there, or don't fit together."""
    content, what = read_json(path), f"{str(path)!r}"
    place = f"a category of {what}"
    categories = {
        member(one, "id", int, place): one for one in member(content, "categories", list, what)
    }
    order = sorted(categories)
    colours = [categories[key].get("color") for key in order]
    annotations = defaultdict[int, list[Record]](list)
    for one in member(content, "annotations", list, what):
        annotations[member(one, "image_id", int, f"an annotation of {what}")].append(one)
    images = []
    for one in member(content, "images", list, what):
        image = f"image {one.get('id')} of {what}" if isinstance(one, dict) else f"image of {what}"
        name, image_id = member(one, "file_name", str, image), member(one, "id", int, image)
        size = checked_size(one.get("height"), one.get("width"), image)
        images.append(CocoImage(name, size, annotations[image_id]))
    return CocoFile(
        images,
        tuple(member(categories[key], "name", str, place) for key in order),
        palette_of(colours, what),
        {key: class_id for class_id, key in enumerate(order)},
    )


def read_images(
    path: Path, read_one: Callable[[CocoFile, CocoImage], Segmentation]
) -> Iterator[Segmentation]:
    """The images of a file, each read when it is asked for."""
    content = read_coco(path)
    return (read_one(content, one) for one in content.images)


def class_of(record: Record, content: CocoFile, what: str) -> int:
    """The class id of an annotation or segment; DataSetError where its category is not listed."""
    category = checked(record.get("category_id"), int, f"'category_id' in {what}")
    if category not in content.ids:
        raise DataSetError(f"{what} has the category {category}, which the file does not list")
    return content.ids[category]
