"""What the ids in label maps stand for. Without numpy, for the command line reads it."""

import json
import operator
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from modelscope_vitadapter.validation import shown

IGNORED, UNKNOWN = -1, -2
"""Class ids, in memory: of pixels that are not counted, and of ids that must not occur."""

USUAL_IGNORED = (255, 65535)
"""Ids of ignored pixels where nothing else is said: the highest of 8 and of 16 bits."""

HIGHEST_ID = 65535

PAIR = re.compile(r"\s*(\d+)\s*[:=\s]\s*(\d+|ignore)\s*")
"""An id and its class in the text of a mapping."""


@dataclass(frozen=True)
class LabelIds:
    """What the ids of a dataset's label maps stand for."""

    ignored: tuple[int, ...] | None = None
    """Ids of pixels that are not counted. None: 255 and 65535 where these are no classes' ids."""
    mapping: tuple[int, ...] | None = None
    """The class id of each id, from id 0 on, `IGNORED` or `UNKNOWN`. None: ids are class ids."""
    reduce_zero_label: bool = False
    """Whether 0 is ignored and 1 is class 0, as mmsegmentation's option of that name has it."""
    also_ignored: tuple[int, ...] = ()
    """Ids that are not counted either, whatever else they would stand for."""
    colours: tuple[tuple[int, int, int, int], ...] | None = None
    """`(R, G, B, id)` where label maps hold colours; the id may be `IGNORED`."""
    excluded: tuple[int, ...] = ()
    """Class ids whose pixels are not counted, and that have no metrics."""

    @property
    def first(self) -> int:
        """The id of class 0 where there is no mapping."""
        return 1 if self.reduce_zero_label else 0

    def ignored_among(self, num_classes: int) -> tuple[int, ...]:
        """The ids that are not counted, ascending, apart from what a mapping ignores."""
        ids_of_classes = self.first + num_classes if self.mapping is None else len(self.mapping)
        ignored = self.ignored
        if ignored is None:
            ignored = tuple(one for one in USUAL_IGNORED if one >= ids_of_classes)
        return tuple(sorted({*ignored, *self.also_ignored, *range(self.first)}))


def mapped_ids(classes: Mapping[int, int]) -> LabelIds:
    """Ids that stand for classes as a mapping says; others must not occur, but 255 and 65535."""
    length = max(classes, default=-1) + 1
    return LabelIds(mapping=tuple(classes.get(one, UNKNOWN) for one in range(length)))


COCO_STUFF_ABSENT = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
"""Those of COCO-Stuff's ids 0..181 that no image has (street sign, hat, shoe, eye glasses, plate,
mirror, window, desk, door, blender, hair brush): `labels.md` of the dataset, less one."""

_PRESENT = [one for one in range(182) if one not in COCO_STUFF_ABSENT]

COCO_STUFF_182 = LabelIds(
    ignored=(255,),
    mapping=tuple(_PRESENT.index(one) if one in _PRESENT else UNKNOWN for one in range(182)),
)
"""The ids of COCO-Stuff-164k's `stuffthingmaps`, 0..181 and 255, to the 171 classes."""

CITYSCAPES_COUNTED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Those of Cityscapes' 34 ids that its 19 classes have, in their order; the benchmark does not
count the others (`labels.py` of its scripts)."""

CITYSCAPES_34 = mapped_ids(
    {
        one: CITYSCAPES_COUNTED.index(one) if one in CITYSCAPES_COUNTED else IGNORED
        for one in range(34)
    }
)
"""The ids of `_labelIds` files, 0..33, to the 19 classes."""

NAMED: dict[str, LabelIds] = {
    "as-is": LabelIds(),
    "reduce-zero": LabelIds(reduce_zero_label=True),
    "coco-stuff-182": COCO_STUFF_182,
    "cityscapes-34": CITYSCAPES_34,
}
"""What label ids may be called by."""

EXPECTED = f"{', '.join(NAMED)}, a mapping such as 0:ignore,255:1, or a file of one"


def parse_label_ids(value: object) -> LabelIds | None:
    """Reads the option `label_ids`; None stays None.

    Args:
        value: a `LabelIds`, a name of `NAMED`, a dict of class ids (or `"ignore"`) by id, its text
            such as `0:ignore,255:1`, or a text file with a pair in each line, or of JSON.

    Raises:
        DataSetError: it is none of these.
    """
    if value is None or isinstance(value, LabelIds):
        return value
    if isinstance(value, Mapping):
        return _of_pairs(value.items())
    text = str(value)
    if text in NAMED:
        return NAMED[text]
    if PAIR.match(text):
        return _of_pairs(_pairs_in(text, repr(text)))
    path = Path(text)
    if not path.is_file():
        raise DataSetNotFoundError(f"label_ids={value!r}: expected one of {EXPECTED}")
    content = path.read_text(encoding="utf-8-sig", errors="replace")
    if not content.lstrip().startswith("{"):
        return _of_pairs(_pairs_in(content, repr(text)))
    try:
        pairs = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataSetError(f"label_ids: {text!r} is no JSON ({error})") from error
    return _of_pairs(pairs.items())


def _pairs_in(text: str, name: str) -> list[tuple[str, str]]:
    """The pairs in a text, between commas or lines; what follows `#` in a line is a comment."""
    lines = [line.partition("#")[0] for line in text.splitlines()]
    items = [item for line in lines for item in re.split("[,;]", line) if item.strip()]
    found = []
    for item in items:
        pair = PAIR.fullmatch(item)
        if pair is None:
            raise DataSetError(
                f"label_ids: {shown(item.strip())} in {name} is no pair ID:CLASS; expected whole "
                "numbers, or ignore as the class, such as 0:ignore,255:1"
            )
        found.append((pair[1], pair[2]))
    return found


def _of_pairs(pairs: Any) -> LabelIds:
    classes: dict[int, int] = {}
    for given, target in pairs:
        try:
            one, number = whole(given), IGNORED if target in ("ignore", None) else whole(target)
        except (TypeError, ValueError):
            one = number = -2
        if not (0 <= one <= HIGHEST_ID and IGNORED <= number <= HIGHEST_ID) or one in classes:
            raise DataSetError(
                f"label_ids: {shown(given)}: {shown(target)} can't be meant; expected each id once "
                f"(0 to {HIGHEST_ID}) with a class id from 0 up, or 'ignore'"
            )
        classes[one] = number
    if not classes:
        raise DataSetError(f"label_ids: there is no id in it; expected {EXPECTED}")
    return mapped_ids(classes)


def parse_ids(name: str, value: object) -> tuple[int, ...]:
    """Reads ids, whole numbers, in any collection or as a text with commas.

    Raises:
        DataSetError: it holds something else, or what no label map can hold. -1, which is never
            counted, is left out.
    """
    values = re.split(r"[,\s]+", value.strip()) if isinstance(value, str) else value
    try:
        ids = [whole(one) for one in (values if isinstance(values, Iterable) else [values])]
    except (TypeError, ValueError):
        ids = [UNKNOWN]
    if not all(IGNORED <= one <= HIGHEST_ID for one in ids):
        raise DataSetError(
            f"{name}={value!r}: expected whole numbers from 0 to {HIGHEST_ID}, such as 0,255"
        )
    return tuple(one for one in ids if one != IGNORED)


def whole(value: Any) -> int:
    """A whole number, of any type or as text; TypeError or ValueError for anything else."""
    return int(value) if isinstance(value, str) else operator.index(value)
