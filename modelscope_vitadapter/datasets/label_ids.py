"""How the ids in label maps become class ids."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.errors import DataSetError

IGNORED = -1
"""Class id, in memory, of pixels that belong to no class and are not counted."""

UNKNOWN = -2
"""In tables: an id that stands for nothing."""

MAX_CLASSES = 2**15 - 1
"""Most classes, since class ids are int16 in memory."""

USUAL_IGNORED = (255, 65535)
"""Ids of ignored pixels where nothing else is said: the highest of 8 and of 16 bits."""

TABLE_SIZE = 2**16

_IGNORED_PLACE, _UNKNOWN_PLACE = TABLE_SIZE, TABLE_SIZE + 1
"""Where a table has the class of -1 and of numbers that are no id of 16 bits."""

SHOWN_IDS = 8
"""Ids that a message lists at most."""


@dataclass(frozen=True)
class LabelIds:
    """What the ids of a data set's label maps stand for.

    Attributes:
        ignored: ids of pixels that are not counted. None means 255 and 65535, unless there are so
            many classes that they are classes' ids.
        mapping: the class id of each id, from id 0 on; `IGNORED` for what is not counted,
            `UNKNOWN` for ids that must not occur. None: ids are class ids.
        reduce_zero_label: 0 is ignored and ids from 1 on are the classes from 0 on, as
            mmsegmentation's option of that name has it.
    """

    ignored: tuple[int, ...] | None = None
    mapping: tuple[int, ...] | None = None
    reduce_zero_label: bool = False

    def to_classes(
        self, ids: NDArray[np.integer], num_classes: int
    ) -> tuple[NDArray[np.int16], str | None]:
        """Translate a label map.

        Args:
            ids: `(H, W)` as the file has it; -1 is ignored too.
            num_classes: K.

        Returns:
            `(H, W)` class ids 0..K-1 and `IGNORED`; and None, or what is wrong with the ids.

        Raises:
            DataSetError: these ids can't be those of K classes, whatever the label map holds.
        """
        table = table_of(self, num_classes)
        if ids.dtype != np.uint8:
            wide = ids.astype(np.int64)
            known = (wide >= 0) & (wide < TABLE_SIZE)
            ids = np.where(known, wide, np.where(wide == -1, _IGNORED_PLACE, _UNKNOWN_PLACE))
        classes = table[ids]
        unknown = classes == UNKNOWN
        if not unknown.any():
            return classes, None
        return classes, self._refusal(ids[unknown], num_classes)

    def _refusal(self, found: NDArray[np.integer], num_classes: int) -> str:
        distinct = [int(one) for one in np.unique(found) if one < TABLE_SIZE]
        shown = ", ".join(map(str, distinct[:SHOWN_IDS]))
        if not distinct:
            shown = f"below 0 or above {TABLE_SIZE - 1}"
        elif len(distinct) > SHOWN_IDS:
            shown += f" and {len(distinct) - SHOWN_IDS} others"
        first = 1 if self.reduce_zero_label else 0
        expected = f"{first} to {first + num_classes - 1} for the {num_classes} classes"
        if self.mapping is not None:
            expected = f"ids below {len(self.mapping)} that stand for a class"
        ignored_here = ignored_ids(self, num_classes)
        usual = [one for one in ignored_here if one <= USUAL_IGNORED[0]] or ignored_here
        ignored = " or ".join(map(str, usual)) or "no id"
        return (
            f"holds ids that belong to no class: {shown} ({found.size} pixels); expected {expected}"
            f", and {ignored} for pixels that are not counted"
            f"{self._hint(distinct, num_classes)}"
        )

    def _hint(self, distinct: list[int], num_classes: int) -> str:
        if self.mapping is not None or self.reduce_zero_label or not distinct:
            return ""
        if distinct == [num_classes]:
            return "; if ids begin at 1 and 0 is to be ignored, set reduce_zero_label"
        if num_classes == COCO_STUFF_CLASSES and distinct[-1] < len(COCO_STUFF_182.mapping or ()):
            return "; if these are COCO-Stuff's 182 original ids, choose label_ids 'coco-stuff-182'"
        return "; correct the label map, or say with label_ids what its ids mean"


def ignored_ids(label_ids: LabelIds, num_classes: int) -> tuple[int, ...]:
    """The ids in files, ascending, that are not counted, apart from what a mapping ignores."""
    if label_ids.ignored is not None:
        explicit = set(label_ids.ignored)
    else:
        highest = num_classes if label_ids.reduce_zero_label else num_classes - 1
        if label_ids.mapping is not None:
            highest = len(label_ids.mapping) - 1
        explicit = {one for one in USUAL_IGNORED if one > highest}
    return tuple(sorted(explicit | ({0} if label_ids.reduce_zero_label else set())))


@lru_cache(maxsize=16)
def table_of(label_ids: LabelIds, num_classes: int) -> NDArray[np.int16]:
    """The class of each id 0..65535, then `IGNORED` and `UNKNOWN`; read-only.

    Raises:
        DataSetError: the mapping leads to classes that there are not, or has too few classes.
    """
    if not 1 <= num_classes <= MAX_CLASSES:
        raise DataSetError(f"{num_classes} classes: expected 1 to {MAX_CLASSES}")
    table = np.full(_UNKNOWN_PLACE + 1, UNKNOWN, np.int16)
    if label_ids.mapping is not None:
        mapping = np.asarray(label_ids.mapping)
        if mapping.max(initial=0) >= num_classes or mapping.min(initial=0) < UNKNOWN:
            raise DataSetError(
                f"the mapping of label ids leads to class {int(mapping.max(initial=0))}, but there "
                f"are {num_classes} classes (0 to {num_classes - 1}): another data set, or another "
                "model, is needed"
            )
        table[: len(mapping)] = mapping
    else:
        first = 1 if label_ids.reduce_zero_label else 0
        table[first : first + num_classes] = np.arange(num_classes)
    for one in ignored_ids(label_ids, num_classes):
        table[one] = IGNORED
    table[_IGNORED_PLACE] = IGNORED
    table.setflags(write=False)
    return table


COCO_STUFF_CLASSES = 171

COCO_STUFF_ABSENT = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
"""Those of COCO-Stuff's ids 0..181 that no picture has (street sign, hat, shoe, eye glasses, plate,
mirror, window, desk, door, blender, hair brush): `labels.md` of the data set, less one."""


def _without_absent() -> tuple[int, ...]:
    present = [one for one in range(182) if one not in COCO_STUFF_ABSENT]
    return tuple(present.index(one) if one in present else UNKNOWN for one in range(182))


COCO_STUFF_182 = LabelIds(ignored=(255,), mapping=_without_absent())
"""The ids of COCO-Stuff-164k's `stuffthingmaps`, 0..181 and 255, to the 171 classes."""

NAMED: dict[str, LabelIds] = {
    "as-is": LabelIds(),
    "reduce-zero": LabelIds(reduce_zero_label=True),
    "coco-stuff-182": COCO_STUFF_182,
}
"""What label ids may be called by."""


def parse_label_ids(value: object) -> LabelIds | None:
    """Read the option `label_ids`: a name of `NAMED`, a `LabelIds`, or None.

    Raises:
        DataSetError: it is none of them.
    """
    if value is None or isinstance(value, LabelIds):
        return value
    if not isinstance(value, str) or value not in NAMED:
        raise DataSetError(f"label_ids={value!r}: expected one of {', '.join(NAMED)}")
    return NAMED[value]
