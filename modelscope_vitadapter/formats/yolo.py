"""YOLO's polygons: a text an image, a line for each region: its class id, and x and y of corners.

Coordinates are shares of the width and height, so the image's size is needed to read them. YOLO has
no holes: they are joined to the outline by a cut, see `outlines`. Names of classes are in a YAML
for all texts. Pixels of no region are ignored; a dataset takes them for background.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from modelscope_vitadapter.datasets.layouts.annotations import read_text, upright_size
from modelscope_vitadapter.datasets.polygons import Size, polygons, ring_of
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from modelscope_vitadapter.formats.files import text_file
from modelscope_vitadapter.formats.outlines import outlines
from modelscope_vitadapter.formats.segmentation import Segmentation, no_classes, paint
from modelscope_vitadapter.images.reading import IMAGE_SUFFIXES
from modelscope_vitadapter.validation import shown

DIGITS = 7
"""Of a coordinate: a hundredth of a pixel in images of 100,000."""


def write(path: Path, one: Segmentation, tolerance: float = 0.0) -> None:
    """Writes polygons; in YOLO's layout, of `images/1.jpg` into `labels/1.txt`.

    Args:
        path: the text.
        one: what is written.
        tolerance: see `outlines`.
    """
    sides = np.array(one.size[::-1])
    with text_file(path) as file:
        for class_id, ring in outlines(one.class_map, tolerance):
            corners = " ".join(f"{share:.{DIGITS}g}" for share in (ring / sides).ravel().tolist())
            file.write(f"{class_id} {corners}\n")


def write_classes(path: Path, classes: Sequence[str]) -> None:
    """Writes `data.yaml`, which names the classes of texts in `labels/` beside it."""
    content = {"path": ".", "train": "images", "val": "images", "names": dict(enumerate(classes))}
    with text_file(path) as file:
        yaml.safe_dump(content, file, allow_unicode=True, sort_keys=False)


def read(
    path: Path, size: Size | None = None, classes: Sequence[str] | None = None
) -> Segmentation:
    """Reads polygons; later ones cover earlier ones.

    Args:
        path: the text.
        size: `(height, width)`; by default that of the image of the same name, which lies beside
            the text, or in `images/` where the text is in `labels/`.
        classes: names by id; by default those are the ids themselves, up to the highest one.

    Raises:
        DataSetNotFoundError: there is no text, or no image to take the size of.
        DataSetError: a line can't be read, or is of another class.
    """
    image = _image_of(path)
    if size is None and image is None:
        raise DataSetNotFoundError(
            f"{str(path)!r} has no image beside it or in images/, whose size it needs; pass size="
        )
    size = size or upright_size(image or path)
    lines = [line.split() for line in read_text(path).splitlines() if line.strip()]
    try:
        regions = [(int(words[0]), list(map(float, words[1:]))) for words in lines]
    except ValueError as error:
        raise DataSetError(f"{str(path)!r} has something else than numbers ({error})") from None
    if classes is None:
        highest = max((class_id for class_id, _ in regions), default=0)
        classes = [str(one) for one in range(highest + 1)]
    class_map = no_classes(size, len(classes))
    for index, (class_id, shares) in enumerate(regions):
        what = f"line {index + 1} of {str(path)!r}"
        if not 0 <= class_id < len(classes) or len(shares) < 6:
            raise DataSetError(
                f"{what} has the class {shown(class_id)} and {len(shares)} numbers; expected an id "
                f"below {len(classes)}, and x and y of three corners or more"
            )
        paint(class_map, polygons(class_id, [ring_of(shares, what) * size[::-1]]))
    name = f"{path.stem}.jpg" if image is None else image.name
    return Segmentation(class_map, tuple(classes), None, name)


def _image_of(path: Path) -> Path | None:
    """The image of the same name."""
    folders = [path.parent]
    parts = path.parent.parts
    if "labels" in parts:
        last = len(parts) - 1 - parts[::-1].index("labels")
        folders.append(Path(*parts[:last], "images", *parts[last + 1 :]))
    places = (folder / f"{path.stem}{end}" for folder in folders for end in sorted(IMAGE_SUFFIXES))
    return next((one for one in places if one.is_file()), None)
