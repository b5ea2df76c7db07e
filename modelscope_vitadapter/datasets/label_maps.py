"""Label maps, read without any loss, and their ids as classes."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modelscope_vitadapter.datasets.label_ids import HIGHEST_ID, IGNORED, UNKNOWN, LabelIds
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError, ImageNotFoundError
from modelscope_vitadapter.hints import option
from modelscope_vitadapter.images.decode import decode_pixels, open_image
from modelscope_vitadapter.images.reading import read_bytes, stored_image
from modelscope_vitadapter.validation import listing

LOSSY = ("JPEG", "MPO", "JPEG2000", "WEBP", "AVIF", "HEIF")
"""Formats that may change ids when they are saved."""

COLOURED = ("RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB")
"""Modes of colours; some programs write ids as equal red, green and blue."""

Colours = tuple[tuple[int, int, int, int], ...]
"""See `LabelIds.colours`."""

MODES = ("1", "L", "P", "I", "I;16", "I;16L", "I;16B", "I;16N")
"""Modes of Pillow that hold one number a pixel: bits, 8 bits, palette indexes, 32 and 16 bits."""

TABLE_SIZE = 2**16

_EXPECTED = "expected one id for each pixel: a PNG of one channel (8 or 16 bits) or with a palette"


def read_label_map(
    source: object, name: str, *, colours: Colours | None = None, max_pixels: int | None = None
) -> NDArray[np.integer]:
    """Reads the ids of a label map, `(H, W)` integers as stored.

    Of an image with a palette the indexes count, not the colours; of one whose red, green and blue
    are equal everywhere, that value. The orientation of EXIF is never applied.

    Args:
        source: path (str or Path), URL (http or https), the bytes of an image file, a PIL image,
            a `(H, W)`, `(H, W, 1)` or `(1, H, W)` array or tensor of integers or bools, a
            `stored_image`, or `layouts.layout.DrawnLabels`.
        name: how error messages call it.
        colours: see `LabelIds.colours`; then the map holds colours, and ids may be `IGNORED`.
        max_pixels: see `images.options.ReadOptions`.

    Raises:
        DataSetNotFoundError: there is no such file.
        DataSetError: it can't be read, or holds colours that stand for nothing.
    """
    if isinstance(source, Mapping):
        source = stored_image(source)
    try:
        if isinstance(source, str | os.PathLike | bytes | bytearray | memoryview):
            with open_image(read_bytes(source), name, max_pixels) as image:
                is_tiff = image.format == "TIFF"  # which Pillow turns while it decodes it
                stored = decode_pixels(image, apply=False)[0] if is_tiff else image
                source = _ids_of(stored, name, colours)
        elif isinstance(source, Image.Image):
            source = _ids_of(source, name, colours)
        elif hasattr(source, "identity") and hasattr(source, "ids"):
            source = source.ids()
    except DataSetError:
        raise
    except ImageNotFoundError as error:
        raise DataSetNotFoundError(f"{name} does not exist; each image needs a map") from error
    except Exception as error:  # Pillow's decoders raise many classes on damaged files
        raise DataSetError(
            f"{name} can't be read ({type(error).__name__}: {error}); {_EXPECTED}"
        ) from error
    array: NDArray[Any] = np.asarray(source)
    if array.ndim == 3 and 1 in (array.shape[2], array.shape[0]):
        array = array[:, :, 0] if array.shape[2] == 1 else array[0]
    if array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8:
        array = _ids_of(Image.fromarray(array), name, colours)
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "bui":
        raise DataSetError(
            f"{name} is an array of shape {array.shape}, {array.dtype}; expected (H, W) integers, "
            "one class id for each pixel"
        )
    return array.astype(np.uint8) if array.dtype == np.bool_ else array


def _ids_of(image: Image.Image, name: str, colours: Colours | None) -> NDArray[Any]:
    if image.format in LOSSY:
        raise DataSetError(
            f"{name} is a {image.format}, which changes ids when it is saved; {_EXPECTED}. "
            "Export it anew as PNG from where it was drawn"
        )
    if colours is not None and image.mode in (*COLOURED, "P", "L", "1"):
        return ids_of_colours(np.asarray(image.convert("RGB")), colours, name)
    if image.mode == "P" and image.format == "GIF":
        return _ids_of_gif(image)
    if image.mode == "LA":
        image = image.getchannel("L")
    if image.mode in COLOURED:
        pixels = np.asarray(image.convert("RGB"))
        if (pixels == pixels[:, :, :1]).all():
            return pixels[:, :, 0]
    if image.mode not in MODES:
        raise DataSetError(
            f"{name} holds {'floats' if image.mode == 'F' else 'colours'} (mode {image.mode}), no "
            f"ids; {_EXPECTED}. Say with {option('palette', 'FILE')} which colour is which class, "
            "or export it as ids from where it was drawn"
        )
    return np.asarray(image)


def _ids_of_gif(image: Image.Image) -> NDArray[Any]:
    """Indexes, or shades of grey: of these, programs store their numbers in another order."""
    indexes = np.asarray(image)
    shades = np.asarray(image.convert("RGB"))
    is_grey = (shades == shades[:, :, :1]).all() and not np.isin(shades, (0, 255)).all()
    return shades[:, :, 0] if is_grey else indexes


def holds_colours(path: Path) -> bool:
    """Whether a file holds colours in place of ids, as its head says; False where it can't."""
    try:
        with open_image(read_bytes(path), str(path)) as image:
            return image.mode in COLOURED
    except Exception:  # what is wrong is said when it is read
        return False


def ids_of_colours(pixels: NDArray[np.uint8], colours: Colours, name: str) -> NDArray[np.int32]:
    """The ids `(H, W)` of a map `(H, W, 3)` RGB; DataSetError for a colour that stands for none."""
    known = sorted((red << 16 | green << 8 | blue, number) for red, green, blue, number in colours)
    values, ids = np.array(known, np.int32).T
    packed = pixels.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    places = np.minimum(np.searchsorted(values, packed), len(values) - 1)
    strange = packed[values[places] != packed]
    if strange.size:
        found, counts = np.unique(strange, return_counts=True)
        order = np.argsort(counts)[::-1]
        shown = [f"{_hex(found[one])} ({counts[one]} pixels)" for one in order]
        raise DataSetError(
            f"{name} holds colours that stand for no class: {listing(shown)}; expected "
            f"{listing([_hex(one) for one in values])}. Add them to {option('palette', 'FILE')}; "
            "one called ignore is not counted"
        )
    result: NDArray[np.int32] = ids[places]
    return result


def _hex(packed: int) -> str:
    return f"#{int(packed):06x}"


def ids_to_classes(
    ids: NDArray[np.integer], label_ids: LabelIds, num_classes: int, name: str
) -> NDArray[np.int16]:
    """Translates a label map `(H, W)` to class ids 0..K-1 and `IGNORED`; -1 is ignored too.

    Raises:
        DataSetError: an id stands for nothing, or such ids can't be those of K classes at all.
    """
    table = class_table(label_ids, num_classes)
    if ids.dtype in (np.uint8, np.uint16):
        classes: NDArray[np.int16] = table[ids]
    else:
        known = (ids >= 0) & (ids < TABLE_SIZE)
        classes = np.where(known, table[np.where(known, ids, 0).astype(np.int64)], UNKNOWN)
        classes[ids == IGNORED] = IGNORED
    unknown = ids[classes == UNKNOWN]
    if unknown.size:
        found = f"{listing([str(one) for one in np.unique(unknown)])} ({unknown.size} pixels)"
        last = label_ids.first + num_classes - 1
        expected = f"{label_ids.first} to {last} for the {num_classes} classes"
        if label_ids.mapping is not None:
            expected = f"ids below {len(label_ids.mapping)} that stand for a class"
        ignored = " or ".join(map(str, label_ids.ignored_among(num_classes))) or "no id"
        raise DataSetError(
            f"{name} holds ids that belong to no class: {found}; expected {expected}, and "
            f"{ignored} for pixels that are not counted; correct the label map"
            + _meanings(np.unique(ids).tolist(), int(unknown[0]))
        )
    return classes


def _meanings(ids: list[int], unknown: int) -> str:
    """What may be said of such ids; of ids that no option takes nothing."""
    if not 0 <= ids[0] <= ids[-1] <= HIGHEST_ID:
        return ""
    example = ",".join(f"{one}:{number}" for number, one in enumerate(ids[:3]))
    return (
        f", or say what its ids mean: {option('label_ids', 'reduce-zero')} if they begin at 1 and "
        f"0 is to be ignored, {option('label_ids', example)} to name the class of each, "
        f"{option('ignore_ids', unknown)} for ids that are not counted, "
        f"{option('label_ids', 'coco-stuff-182')} for COCO-Stuff's original ids, a file "
        "classes.txt in its folder, a name a line, if it has other classes than the model"
    )


def class_table(label_ids: LabelIds, num_classes: int) -> NDArray[np.int16]:
    """The class of each id 0..65535, `IGNORED` or `UNKNOWN`; DataSetError for a class above K-1."""
    strange = [one for one in label_ids.excluded if one >= num_classes]
    if strange:
        raise DataSetError(
            f"{option('exclude_classes', strange[0])}: expected ids of the {num_classes} classes, "
            f"0 to {num_classes - 1}"
        )
    table = np.full(TABLE_SIZE, UNKNOWN, np.int16)
    if label_ids.mapping is not None:
        highest = max(label_ids.mapping, default=0)
        if highest >= num_classes:
            raise DataSetError(
                f"the mapping of label ids leads to class {highest}, but there are {num_classes} "
                f"classes (0 to {num_classes - 1}): another dataset, or another model, is needed, "
                f"or {option('label_ids', 'as-is')} where its ids are class ids"
            )
        table[: len(label_ids.mapping)] = label_ids.mapping
    else:
        table[label_ids.first : label_ids.first + num_classes] = np.arange(num_classes)
    table[np.isin(table, label_ids.excluded)] = IGNORED
    table[list(label_ids.ignored_among(num_classes))] = IGNORED
    return table
