"""A PNG of class ids, with the classes' colours as its palette: mmsegmentation's label maps.

Up to 255 classes have 8 bits and the id 255 where pixels are ignored; more have 16 bits, 65535, and
no palette. Names of classes are not in the file.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from modelscope_vitadapter.datasets.label_ids import IGNORED, USUAL_IGNORED
from modelscope_vitadapter.datasets.label_maps import read_label_map
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.formats.files import as_class_map, id_image, write_png
from modelscope_vitadapter.formats.segmentation import Palette, Segmentation


def write(path: Path, one: Segmentation) -> None:
    """Writes a class map as ids.

    Raises:
        DataSetError: there are more than 65535 classes.
    """
    count = len(one.classes)
    if count > USUAL_IGNORED[1]:
        raise DataSetError(f"a PNG holds ids of up to {USUAL_IGNORED[1]} classes, not of {count}")
    wide = count > USUAL_IGNORED[0]
    has_ignored = bool((one.class_map == IGNORED).any())
    ids = np.where(one.class_map == IGNORED, USUAL_IGNORED[wide], one.class_map)
    image = id_image(ids, wide=wide)
    if one.palette and not wide:
        colours = np.zeros((256 if has_ignored else count, 3), np.uint8)  # a colour for each id
        colours[:count] = one.palette
        image.putpalette(colours.tobytes())
    write_png(path, image)


def read(path: Path, classes: Sequence[str] | None = None) -> Segmentation:
    """Reads ids; the image is called as the file.

    Args:
        path: the PNG.
        classes: names by id; by default those are the ids themselves, up to the highest one.

    Raises:
        DataSetError: it can't be read, or holds ids of other classes.
    """
    stored = read_label_map(path, str(path))
    class_map = as_class_map(stored, USUAL_IGNORED[stored.dtype.itemsize > 1])
    if classes is None:
        classes = [str(one) for one in range(max(int(class_map.max()) + 1, 1))]
    return Segmentation(class_map, tuple(classes), _palette(path, len(classes)), path.name)


def _palette(path: Path, count: int) -> Palette | None:
    with Image.open(path) as image:
        flat = image.getpalette() if image.mode == "P" else None
    if flat is None or len(flat) < 3 * count:
        return None
    return tuple(zip(*(flat[channel : 3 * count : 3] for channel in range(3)), strict=True))
