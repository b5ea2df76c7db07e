"""COCO's panoptic format: a JSON, and a PNG an image in a folder beside it of the same name.

A pixel's segment is `R + 256 G + 256**2 B`; 0 is none, which ignored pixels have. Each class is one
segment, of stuff, whose number is that of its category.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modelscope_vitadapter.datasets.label_ids import IGNORED
from modelscope_vitadapter.datasets.layouts.annotations import inside, member
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.formats.coco import (
    CocoFile,
    CocoImage,
    Record,
    class_of,
    read_images,
    write_coco,
)
from modelscope_vitadapter.formats.files import write_png
from modelscope_vitadapter.formats.runs import class_runs
from modelscope_vitadapter.formats.segmentation import Segmentation, no_classes
from modelscope_vitadapter.images.decode import open_image
from modelscope_vitadapter.images.drawing import default_palette
from modelscope_vitadapter.images.reading import read_bytes


def write(path: Path, many: Iterable[Segmentation]) -> None:
    """Writes the JSON and, in a folder named after it, the PNGs.

    Categories have colours in this format: where there is no palette, some are made.

    Raises:
        DataSetError: images have different classes, or two names differ in the suffix only.
    """
    folder, names = path.with_suffix(""), set[str]()

    def annotate(image_id: int, one: Segmentation) -> Iterator[Record]:
        name = str(PurePosixPath(one.name).with_suffix(".png"))
        if name in names:
            raise DataSetError(
                f"two images would have the PNG {name!r}; expected names without their suffix to "
                "differ"
            )
        names.add(name)
        segments = one.class_map.astype(np.int32) + 1
        bytes_of = np.stack([segments >> shift & 255 for shift in (0, 8, 16)], axis=2)
        write_png(folder / name, Image.fromarray(bytes_of.astype(np.uint8)))
        yield {
            "file_name": name,
            "segments_info": [
                {
                    "id": runs.class_id + 1,
                    "category_id": runs.class_id + 1,
                    "area": runs.area,
                    "bbox": list(runs.box),
                    "iscrowd": 0,
                }
                for runs in class_runs(one.class_map)
            ],
        }

    write_coco(path, many, annotate, _category)


def read(path: Path) -> Iterator[Segmentation]:
    """Reads a JSON and its PNGs; DataSetError where these can't be read or don't fit together."""
    return read_images(path, partial(_image, path.with_suffix("")))


def _category(one: Segmentation, class_id: int) -> Record:
    colours = one.palette or default_palette(len(one.classes))
    return {"supercategory": "stuff", "isthing": 0, "color": list(colours[class_id])}


def _image(folder: Path, content: CocoFile, image: CocoImage) -> Segmentation:
    what = f"image {image.name!r}"
    if len(image.annotations) != 1:
        raise DataSetError(f"{what} has {len(image.annotations)} annotations, expected one")
    annotation = image.annotations[0]
    name = member(annotation, "file_name", str, f"the annotation of {what}")
    segments = _segments(inside(folder, name, what))
    if segments.shape != image.size:
        raise DataSetError(f"{what} has a PNG of another size than {image.size}: {segments.shape}")
    ids = no_classes((1, 2**24), len(content.classes))[0]  # of each number that a PNG can hold
    for one in member(annotation, "segments_info", list, f"the annotation of {what}"):
        segment = member(one, "id", int, f"a segment of {what}")
        if not 0 < segment < ids.size:
            raise DataSetError(f"{what} has the segment {segment}; expected 1 to {ids.size - 1}")
        ids[segment] = class_of(one, content, f"segment {segment} of {what}")
    class_map = ids[segments]
    unlisted = np.unique(segments[(class_map == IGNORED) & (segments != 0)]).tolist()
    if unlisted:
        raise DataSetError(f"{what} has segments that the JSON does not list: {unlisted[:20]}")
    return Segmentation(class_map, content.classes, content.palette, image.name)


def _segments(path: Path) -> NDArray[Any]:
    try:
        with open_image(read_bytes(path), str(path)) as image:
            colours = np.asarray(image.convert("RGB")).astype(np.int32)
    except Exception as error:  # Pillow's decoders raise many classes on damaged files
        raise DataSetError(f"{str(path)!r} can't be read ({error}); expected a PNG") from error
    segments: NDArray[Any] = colours @ np.array([1, 256, 256**2], np.int32)
    return segments
