"""COCO's JSON of objects, with run lengths for each class in each image.

Run lengths are compressed where pycocotools is installed; otherwise they are lists of numbers,
which COCO's own tools read too. Pixels of no object are ignored.
"""

from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.datasets.layouts.annotations import member
from modelscope_vitadapter.datasets.polygons import Size, bitmap, decode_compressed, decode_runs
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.formats.coco import (
    CocoFile,
    CocoImage,
    Record,
    class_of,
    read_images,
    write_coco,
)
from modelscope_vitadapter.formats.runs import class_runs
from modelscope_vitadapter.formats.segmentation import Segmentation, no_classes, paint
from modelscope_vitadapter.validation import shown


def write(path: Path, many: Iterable[Segmentation]) -> None:
    """Writes a file; DataSetError where images have different classes."""
    ids = count(1)

    def annotate(image_id: int, one: Segmentation) -> Iterator[Record]:
        height, width = one.size
        for runs in class_runs(one.class_map.T):  # COCO's runs go down columns
            top, left, box_height, box_width = runs.box
            yield {
                "id": next(ids),
                "category_id": runs.class_id + 1,
                "segmentation": _encode(runs.counts((0, 0, height, width)), one.size),
                "area": runs.area,
                "bbox": [left, top, box_width, box_height],
                "iscrowd": 0,
            }

    write_coco(path, many, annotate, _category)


def read(path: Path) -> Iterator[Segmentation]:
    """Reads a file; later objects cover earlier ones.

    Raises:
        DataSetError: it can't be read, an object has no run lengths, or they are compressed and
            pycocotools is not installed.
    """
    return read_images(path, _image)


def _category(one: Segmentation, class_id: int) -> Record:
    return {} if one.palette is None else {"color": list(one.palette[class_id])}


def _image(content: CocoFile, image: CocoImage) -> Segmentation:
    class_map = no_classes(image.size, len(content.classes))
    for one in image.annotations:
        what = f"annotation {shown(one.get('id'))} of image {image.name!r}"
        pixels = _decode(one.get("segmentation"), image.size, what)
        paint(class_map, bitmap(class_of(one, content, what), 0, 0, pixels))
    return Segmentation(class_map, content.classes, content.palette, image.name)


def _encode(counts: NDArray[np.int64], size: Size) -> Record:
    runs: Record = {"size": list(size), "counts": counts.tolist()}
    try:
        from pycocotools import mask
    except ImportError:
        return runs
    return {**runs, "counts": mask.frPyObjects(runs, *size)["counts"].decode()}


def _decode(runs: Any, size: Size, what: str) -> NDArray[np.bool_]:
    if not isinstance(runs, dict):
        raise DataSetError(f"{what} has no run lengths; a dataset of polygons is read as one")
    if member(runs, "size", list, what) != list(size):
        raise DataSetError(f"{what} has run lengths of another size than its image, {size}")
    counts = runs.get("counts")
    if not isinstance(counts, str):
        columns = decode_runs(counts, size[::-1], what)
        return np.ascontiguousarray(columns.T)
    return decode_compressed(counts, size, what)
