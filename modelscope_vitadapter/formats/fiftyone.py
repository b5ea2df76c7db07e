"""A folder that FiftyOne imports as `fiftyone.types.ImageSegmentationDirectory`.

    labels/street/1.png       ids of the image `street/1.jpg`
    data.json                 the place of each image: put the images into `data/`
    mask_targets.json         names by id
    mask_targets_colors.json  colours, where there are some

    import fiftyone as fo
    dataset = fo.Dataset.from_dir(FOLDER, fo.types.ImageSegmentationDirectory, data_path=IMAGES)
    dataset.default_mask_targets = {int(k): v for k, v in json.load(open(...)).items()}

An id is the class id plus one: FiftyOne does not draw 0, which ignored pixels have. Colours go into
`fo.ColorScheme(default_mask_targets_colors=...)`.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from modelscope_vitadapter.datasets.label_maps import read_label_map
from modelscope_vitadapter.datasets.layouts.annotations import inside, member, read_json
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.formats.files import (
    as_class_map,
    hexadecimal,
    id_image,
    palette_of,
    read_list,
    write_json,
    write_png,
)
from modelscope_vitadapter.formats.segmentation import Palette, Segmentation, of_one_dataset

LABELS, PLACES, NAMES, COLOURS = (
    "labels",
    "data.json",
    "mask_targets.json",
    "mask_targets_colors.json",
)


def write(path: Path, many: Iterable[Segmentation]) -> None:
    """Writes a folder.

    Raises:
        DataSetError: images have different classes, there are more than 65534 of them, or two names
            differ in the suffix only, by which FiftyOne can't tell images.
    """
    stems, places = set[str](), dict[str, str]()
    classes: tuple[str, ...] = ()
    palette: Palette | None = None
    for one in of_one_dataset(many):
        classes, palette = one.classes, one.palette
        stem = str(PurePosixPath(one.name).with_suffix(""))
        if stem in stems:
            raise DataSetError(
                f"two images are called {stem!r} without their suffix, by which FiftyOne tells "
                "images; rename one"
            )
        stems.add(stem)
        places[one.name] = f"data/{one.name}"
        if len(classes) > 65534:
            raise DataSetError(f"a PNG holds ids of up to 65534 classes, not of {len(classes)}")
        ids = one.class_map.astype(np.int32) + 1
        write_png(path / LABELS / f"{stem}.png", id_image(ids, wide=len(classes) > 255))
    write_json(path / PLACES, places)
    write_json(path / NAMES, {str(class_id + 1): name for class_id, name in enumerate(classes)})
    (path / COLOURS).unlink(missing_ok=True)
    if palette is not None:
        colours = [
            {"intTarget": class_id + 1, "color": hexadecimal(colour)}
            for class_id, colour in enumerate(palette)
        ]
        write_json(path / COLOURS, colours)


def read(path: Path) -> Iterator[Segmentation]:
    """Reads a folder; DataSetError where a file can't be read."""
    targets, what = read_json(path / NAMES), f"{str(path / NAMES)!r}"
    keys = [str(one + 1) for one in range(len(targets))]
    classes = tuple(member(targets, key, str, what) for key in keys)
    palette = _palette(path / COLOURS, len(classes))
    places = read_json(path / PLACES)
    return (_image(path, name, classes, palette) for name in places)


def _image(
    folder: Path, name: str, classes: tuple[str, ...], palette: Palette | None
) -> Segmentation:
    png = inside(folder / LABELS, name, f"{str(folder / PLACES)!r}").with_suffix(".png")
    stored = read_label_map(png, str(png)).astype(np.int32)
    return Segmentation(as_class_map(stored - 1, -1), classes, palette, name)


def _palette(path: Path, count: int) -> Palette | None:
    if not path.is_file():
        return None
    what = f"{str(path)!r}"
    colours = {member(one, "intTarget", int, what): one.get("color") for one in read_list(path)}
    return palette_of([colours.get(one + 1) for one in range(count)], what)
