"""A class map over its image, as a picture to look at."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from modelscope_vitadapter.hints import option
from modelscope_vitadapter.images.drawing import default_palette, flat_colours
from modelscope_vitadapter.images.drawing import overlay as lay_over
from modelscope_vitadapter.images.reading import read_image
from modelscope_vitadapter.visualization.fonts import make_label
from modelscope_vitadapter.visualization.legend import (
    LEAST_LINES,
    LINE,
    Entry,
    draw_legend,
    fitting_lines,
    shortened,
)
from modelscope_vitadapter.visualization.names import text_sizes, write_names

Palette = Sequence[Sequence[int]] | NDArray[np.integer[Any]]
"""`[R, G, B]` of each class by its id, 0 to 255."""

WIDE = 1.6
"""Width by height from which on a picture has its legend below and not to the right."""

MOST_LINES = 1 / 3
"""Share of pixels in outlines from which on they would hide the image, so that none are drawn."""


def color_map(
    class_map: ArrayLike, palette: Palette, ignore_id: int | None = None
) -> NDArray[np.uint8]:
    """The colour of each pixel's class alone, `(H, W, 3) uint8 RGB`.

    Args:
        class_map: ids `(H, W)` that index the palette; negative ones are black.
        palette: `[R, G, B]` of each class, 0 to 255.
        ignore_id: an id that is black too.

    Raises:
        ValueError: the class map is none, or has ids that the palette has no colour for.
    """
    return flat_colours(_known_ids(class_map, len(palette), ignore_id), palette)


def draw(
    image: object,
    class_map: ArrayLike,
    classes: Sequence[str],
    palette: Palette | None = None,
    *,
    opacity: float = 0.6,
    outlines: bool = True,
    names: bool = True,
    legend: bool = True,
    side_by_side: bool = False,
    ignore_id: int | None = None,
    font: str | os.PathLike[str] | None = None,
) -> Image.Image:
    """Draws the classes of pixels over their image.

    The image keeps its pixels; text grows with it and is never too small to be read.

    Args:
        image: whatever `read_image` takes, such as a path, a PIL image or an array `(H, W, 3)`
            uint8 BGR; it is never modified.
        class_map: ids `(H, W)`, any integers. Negative ones have no colour.
        classes: names by id, in any script for which the system has a font, see `find_font`.
        palette: `[R, G, B]` of each class by id; None for `default_palette`.
        opacity: of the colours, 0 to 1.
        outlines: whether classes are divided by thin white lines; where they would cover more than
            a third of the image, as in noise, they are left out.
        names: whether names are written into regions that have room for them.
        legend: whether colours, names and shares of the image's area stand beside the picture, or
            below a wide one. Classes below 0.1 % are summed up where there are too many.
        side_by_side: whether the image itself stands to the left.
        ignore_id: an id of pixels that have no colour.
        font: a font file for the names, for letters that it has.

    Returns:
        RGB. Without a legend `(H, W)`, side by side `(H, 2 W)`; the picture is at the upper left.

    Raises:
        ImageError: `image` can't be read.
        ValueError: the sizes differ, an id has no name or colour, or an option is out of range.
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity={opacity!r}: expected a number from 0 to 1")
    colours = default_palette(len(classes)) if palette is None else palette
    ids = _known_ids(class_map, min(len(classes), len(colours)), ignore_id)
    rgb = _read_rgb(image)
    if rgb.shape[:2] != ids.shape:
        raise ValueError(
            f"the image has {rgb.shape[0]} x {rgb.shape[1]} pixels (height x width), the class map "
            f"{ids.shape[0]} x {ids.shape[1]}: expected the same; an image with EXIF orientation "
            "is turned when it is read from its file, but not as a PIL image"
        )
    drawn = lay_over(rgb, ids, colours, opacity)
    counts = _count(ids, len(classes))
    order = np.argsort(-counts, kind="stable")
    present = [int(one) for one in order if counts[one]]
    if outlines:
        _outline(drawn, ids, order)
    labels = {one: make_label(classes[one], one, font) for one in present if names or legend}
    picture = Image.fromarray(drawn)
    del drawn  # Pillow has a copy
    if names:
        write_names(picture, ids, labels, colours)
    if side_by_side:
        picture = _joined(Image.fromarray(rgb), picture, below=False)
    if not legend or not present:
        return picture
    entries = [
        Entry(_rgb(colours[one]), labels[one], float(counts[one]) / ids.size) for one in present
    ]
    return _with_legend(picture, entries, text_sizes(*ids.shape), font)


def draw_result(
    image: object,
    result: Mapping[str, Any],
    classes: Sequence[str],
    palette: Palette | None = None,
    **options: Any,
) -> Image.Image:
    """Draws what `pipeline()` gives for an image.

    Args:
        image: as of `draw`; what the pipeline was called with.
        result: with `masks` and `labels`, or with `class_map`.
        classes: names of all classes by id, from which the labels are.
        palette: as of `draw`.
        options: keywords of `draw`.

    Raises:
        ImageError, ValueError: as of `draw`; a label is no class; the result has neither form.
    """
    if "class_map" in result:
        return draw(image, result["class_map"], classes, palette, **options)
    if "masks" not in result or "labels" not in result:
        raise ValueError(
            f"the result has {', '.join(map(str, result)) or 'nothing'}: expected masks and "
            "labels, or class_map, as pipeline() gives them for one image"
        )
    pixels = read_image(image)
    class_map = np.full(pixels.shape[:2], -1, np.int32)
    ids = {name: number for number, name in enumerate(classes)}
    for mask, label in zip(result["masks"], result["labels"], strict=True):
        if label not in ids:
            raise ValueError(f"the result has the label {label!r}, which is none of the classes")
        if np.shape(mask) != class_map.shape:
            raise ValueError(
                f"the mask of {label!r} has the shape {np.shape(mask)}, the image "
                f"{class_map.shape}: expected the same, (height, width)"
            )
        class_map[np.asarray(mask) != 0] = ids[label]
    return draw(pixels, class_map, classes, palette, **options)


def _known_ids(class_map: ArrayLike, count: int, ignore_id: int | None) -> NDArray[Any]:
    """Class ids `(H, W)` in a small type, -1 for what has no colour; or ValueError."""
    given = np.asarray(class_map)
    if given.ndim != 2 or given.dtype.kind not in "iu" or not given.size:
        raise ValueError(
            f"the class map has the shape {given.shape} and the type {given.dtype}: expected "
            "integers (height, width)"
        )
    without = given < 0
    if ignore_id is not None:
        without |= given == ignore_id
    highest = int(np.max(given, where=~without, initial=0))
    if highest >= count:
        raise ValueError(
            f"the class map has the id {highest}, but only 0 to {count - 1} have a name and a "
            f"colour; if it stands for pixels without a class, pass {option('ignore_id', highest)}"
        )
    ids = given.astype(np.int16 if count <= 2**15 else np.int32)
    ids[without] = -1
    return ids


def _read_rgb(image: object) -> NDArray[np.uint8]:
    pixels = read_image(image)
    rgb: NDArray[np.uint8] = cv2.cvtColor(pixels.astype(np.uint8, copy=False), cv2.COLOR_BGR2RGB)
    return rgb


def _outline(drawn: NDArray[np.uint8], ids: NDArray[Any], order: NDArray[np.intp]) -> None:
    """Whitens the borders of classes in place, never pixels that have none.

    The line lies in the class that stands earlier in `order`, which has more of the image: what is
    as thin as a line, such as a pole, keeps its colour.
    """
    table = np.zeros(len(order) + 1, ids.dtype)  # the last, which -1 takes, is below all
    table[order] = np.arange(len(order), 0, -1)
    rank = table[ids]
    edges = np.zeros(ids.shape, np.uint8)
    for here, there in ((rank, edges), (rank.T, edges.T)):
        there[1:] |= here[1:] > here[:-1]
        there[:-1] |= here[:-1] > here[1:]
    thickness = max(round(float(np.sqrt(ids.size)) / 1000), 1)
    if thickness > 1:
        edges = cv2.dilate(edges, np.ones((thickness, thickness), np.uint8))
    edges[ids < 0] = 0
    if cv2.countNonZero(edges) <= MOST_LINES * ids.size:
        drawn[edges > 0] = 255


def _count(ids: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Pixels of each class. Row by row: a copy of the whole in int64 is larger than the image."""
    counts = np.zeros(count + 1, np.int64)
    for rows in np.array_split(ids, -(-ids.size // 2**20)):
        counts += np.bincount(rows.ravel() + 1, minlength=count + 1)
    return counts[1:]


def _with_legend(
    picture: Image.Image,
    entries: Sequence[Entry],
    sizes: tuple[float, float],
    font: str | os.PathLike[str] | None,
) -> Image.Image:
    """A picture beside its legend, in smaller letters where many classes would not fit else."""
    smallest, usual = sizes
    lines = max(int(picture.height / (LINE * smallest)) - 1, LEAST_LINES)
    shown = shortened(entries, lines, font)
    if picture.width <= WIDE * picture.height:
        size = min(max(picture.height / (LINE * (len(shown) + 1)), smallest), usual)
        return _joined(picture, draw_legend(shown, size, lines), below=False)
    size, lines = usual, fitting_lines(shown, usual, picture.width)
    if LINE * size * lines > picture.height / 3:
        size, lines = smallest, fitting_lines(shown, smallest, picture.width)
    return _joined(picture, draw_legend(shown, size, lines), below=True)


def _joined(first: Image.Image, second: Image.Image, *, below: bool) -> Image.Image:
    if below:
        size, place = (max(first.width, second.width), first.height + second.height), first.height
    else:
        size, place = (first.width + second.width, max(first.height, second.height)), first.width
    joined = Image.new("RGB", size, "white")
    joined.paste(first, (0, 0))
    joined.paste(second, (0, place) if below else (place, 0))
    return joined


def _rgb(colour: Any) -> tuple[int, int, int]:
    red, green, blue = map(int, colour)
    return red, green, blue
