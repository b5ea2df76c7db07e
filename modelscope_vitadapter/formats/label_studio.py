"""Label Studio's tasks to import: a JSON of all images, each with a prediction of brush masks.

The project needs a labelling interface with `<Image name="image" value="$image"/>` and
`<BrushLabels name="label" toName="image">`. The list of classes and colours is in each task's
`meta`, which Label Studio keeps. Pixels of no mask are ignored.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from modelscope_vitadapter.datasets.layouts.annotations import member
from modelscope_vitadapter.datasets.polygons import bitmap, checked_size
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.formats.brush_code import decode, encode
from modelscope_vitadapter.formats.files import (
    as_json,
    hexadecimal,
    names_of,
    palette_of,
    read_list,
    text_file,
)
from modelscope_vitadapter.formats.runs import class_runs
from modelscope_vitadapter.formats.segmentation import (
    Segmentation,
    check_distinct,
    no_classes,
    of_one_dataset,
    paint,
)
from modelscope_vitadapter.version import __version__


def write(path: Path, many: Iterable[Segmentation], address: str = "") -> None:
    """Writes a file; one image is held at a time.

    Args:
        path: the JSON.
        many: what is written.
        address: what stands before an image's name for Label Studio to find it, such as
            `/data/local-files/?d=` or `s3://bucket/`.

    Raises:
        DataSetError: images have different classes, or two classes have one name.
    """
    with text_file(path) as file:
        separator = "[\n"
        for one in of_one_dataset(many):
            check_distinct(one.classes, "Label Studio")
            file.write(separator + as_json(_task(one, address)))
            separator = ",\n"
        file.write("\n]\n" if separator == ",\n" else "[]\n")


def read(path: Path) -> Iterator[Segmentation]:
    """Reads a file that `write` made, or Label Studio's export of such tasks.

    An image's last annotation counts, or its last prediction where there is no annotation. Later
    masks cover earlier ones.

    Raises:
        DataSetError: it can't be read, or its tasks lack what `write` puts into them.
    """
    tasks = read_list(path)
    return (_image(one, f"task {index} of {str(path)!r}") for index, one in enumerate(tasks))


def _task(one: Segmentation, address: str) -> dict[str, Any]:
    height, width = one.size
    result = [
        {
            "id": f"class-{runs.class_id}",
            "type": "brushlabels",
            "from_name": "label",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {
                "format": "rle",
                "rle": encode(runs.counts((0, 0, width, height))).tolist(),
                "brushlabels": [one.classes[runs.class_id]],
            },
        }
        for runs in class_runs(one.class_map)
    ]
    colours = None if one.palette is None else [hexadecimal(colour) for colour in one.palette]
    return {
        "data": {"image": address + one.name},
        "meta": {
            "name": one.name,
            "height": height,
            "width": width,
            "classes": one.classes,
            "palette": colours,
        },
        "predictions": [{"model_version": f"vitadapter {__version__}", "result": result}],
    }


def _image(task: Any, what: str) -> Segmentation:
    meta = member(task, "meta", dict, what)
    size = checked_size(meta.get("height"), meta.get("width"), what)
    classes = names_of(meta.get("classes"), what)
    answers = [*(task.get("predictions") or []), *(task.get("annotations") or [])]
    class_map = no_classes(size, len(classes))
    results = member(answers[-1], "result", list, what) if answers else []
    for index, one in enumerate(results):
        place = f"result {index} of {what}"
        value = member(one, "value", dict, place)
        labels = member(value, "brushlabels", list, place)
        if len(labels) != 1 or labels[0] not in classes:
            raise DataSetError(f"{place} has the labels {labels}; expected one that is listed")
        try:
            code = bytes(member(value, "rle", list, place))
        except (ValueError, TypeError):
            raise DataSetError(f"{place} has a mask of other numbers than 0 to 255") from None
        paint(class_map, bitmap(classes.index(labels[0]), 0, 0, decode(code, size, place)))
    palette = palette_of(meta.get("palette") or [None], what)
    return Segmentation(class_map, classes, palette, member(meta, "name", str, what))
