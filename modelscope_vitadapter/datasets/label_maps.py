"""Label maps, read without any loss, and their ids as classes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modelscope_vitadapter.datasets.label_ids import (
    COCO_STUFF_182,
    COCO_STUFF_CLASSES,
    IGNORED,
    UNKNOWN,
    LabelIds,
)
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError, ImageNotFoundError
from modelscope_vitadapter.images.decode import check_pixels, open_image
from modelscope_vitadapter.images.reading import read_bytes
from modelscope_vitadapter.validation import listing

FORMATS = ("PNG", "TIFF", "BMP", "PPM", "TGA", "JPEG", "WEBP")
"""Formats of label maps that are opened; of these, JPEG and WebP are refused by name."""

LOSSY = ("JPEG", "WEBP")

MODES = ("1", "L", "P", "I", "I;16", "I;16L", "I;16B", "I;16N")
"""Modes of Pillow that hold one number a pixel: bits, 8 bits, palette indexes, 32 and 16 bits."""

TABLE_SIZE = 2**16
"""Ids that can stand for something: those of 16 bits."""

_EXPECTED = "expected one id for each pixel: a PNG of one channel (8 or 16 bits) or with a palette"


def read_label_map(source: object, name: str) -> NDArray[np.integer]:
    """Reads the ids of a label map.

    Of an image with a palette the indexes count, not the colours. The orientation of EXIF is
    never applied.

    Args:
        source: path (str or Path), URL (http or https), the bytes of an image file, a PIL image,
            a `(H, W)` or `(H, W, 1)` array of integers or bools, or the form in which Hugging
            Face's `datasets` stores an image (`{'bytes': ..., 'path': ...}`).
        name: how error messages call it.

    Returns:
        `(H, W)` integers as stored; a view of `source` where that is an array.

    Raises:
        DataSetNotFoundError: there is no such file.
        DataSetError: it can't be read, or holds colours in place of ids.
    """
    if isinstance(source, Mapping):  # the path may be a name inside an archive: bytes come first
        source = source.get("path") if source.get("bytes") is None else source["bytes"]
    try:
        if isinstance(source, str | os.PathLike | bytes | bytearray | memoryview):
            source = _decoded(read_bytes(source), name)
        if isinstance(source, Image.Image):
            source = _ids_of(source, name)
    except DataSetError:
        raise
    except ImageNotFoundError as error:
        raise DataSetNotFoundError(f"{name} does not exist; each image needs a map") from error
    except Exception as error:  # Pillow's decoders raise many classes on damaged files
        raise DataSetError(
            f"{name} can't be read ({type(error).__name__}: {error}); {_EXPECTED}"
        ) from error
    array: NDArray[Any] = np.asarray(source)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "bui":
        raise DataSetError(
            f"{name} is an array of shape {array.shape}, {array.dtype}; expected (H, W) integers, "
            "one class id for each pixel"
        )
    return array.astype(np.uint8) if array.dtype == np.bool_ else array


def _decoded(content: bytes, name: str) -> NDArray[Any]:
    if not content:
        raise DataSetError(f"{name} is empty; {_EXPECTED}")
    with open_image(content, name, FORMATS) as picture:
        check_pixels(picture, name)
        if picture.format in LOSSY:
            raise DataSetError(
                f"{name} is a {picture.format}, which changes ids when it is saved; {_EXPECTED}. "
                "Export it anew as PNG from where it was drawn"
            )
        return _ids_of(picture, name)


def _ids_of(picture: Image.Image, name: str) -> NDArray[Any]:
    if picture.mode not in MODES:
        raise DataSetError(
            f"{name} holds colours (mode {picture.mode}), no ids; {_EXPECTED}. Translate each "
            "colour to its class id, or export it as indexes from where it was drawn"
        )
    return np.asarray(picture)


def ids_to_classes(
    ids: NDArray[np.integer], label_ids: LabelIds, num_classes: int, name: str
) -> NDArray[np.int16]:
    """Translates a label map.

    Args:
        ids: `(H, W)` as the file has it; -1 is ignored too.
        label_ids: what ids stand for.
        num_classes: K.
        name: how error messages call the label map.

    Returns:
        `(H, W)` class ids 0..K-1 and `IGNORED`.

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
    unknown = classes == UNKNOWN
    if unknown.any():
        problem = _unknown_ids(ids[unknown], label_ids, num_classes)
        raise DataSetError(f"{name} holds ids that belong to no class: {problem}")
    return classes


@lru_cache(maxsize=16)
def class_table(label_ids: LabelIds, num_classes: int) -> NDArray[np.int16]:
    """The class of each id 0..65535, `IGNORED` or `UNKNOWN`; read-only.

    Raises:
        DataSetError: the mapping leads to classes that there are not.
    """
    table = np.full(TABLE_SIZE, UNKNOWN, np.int16)
    if label_ids.mapping is not None:
        mapping = np.asarray(label_ids.mapping)
        if mapping.max(initial=0) >= num_classes:
            raise DataSetError(
                f"the mapping of label ids leads to class {mapping.max()}, but there are "
                f"{num_classes} classes (0 to {num_classes - 1}): another dataset, or another "
                "model, is needed"
            )
        table[: len(mapping)] = mapping
    else:
        table[label_ids.first : label_ids.first + num_classes] = np.arange(num_classes)
    table[list(label_ids.ignored_among(num_classes))] = IGNORED
    table.setflags(write=False)
    return table


def _unknown_ids(found: NDArray[np.integer], label_ids: LabelIds, num_classes: int) -> str:
    """Which ids stand for nothing, what was expected, and what may be meant."""
    distinct = [int(one) for one in np.unique(found)]
    last = label_ids.first + num_classes - 1
    expected = f"{label_ids.first} to {last} for the {num_classes} classes"
    hint = "correct the label map, or say with label_ids (--label-ids) what its ids mean"
    if label_ids.mapping is not None:
        expected = f"ids below {len(label_ids.mapping)} that stand for a class"
    elif distinct == [num_classes] and not label_ids.reduce_zero_label:
        hint = "if ids begin at 1 and 0 is to be ignored, choose label_ids 'reduce-zero'"
    elif num_classes == COCO_STUFF_CLASSES and distinct[-1] < len(COCO_STUFF_182.mapping or ()):
        hint = "if these are COCO-Stuff's 182 original ids, choose label_ids 'coco-stuff-182'"
    ignored = " or ".join(map(str, label_ids.ignored_among(num_classes)))
    return (
        f"{listing([str(one) for one in distinct])} ({found.size} pixels); expected {expected}, "
        f"and {ignored or 'no id'} for pixels that are not counted; {hint}"
    )
