"""What the ids in label maps stand for. Without numpy, for the command line reads it."""

from dataclasses import dataclass

from modelscope_vitadapter.errors import DataSetError

IGNORED, UNKNOWN = -1, -2
"""Class ids, in memory: of pixels that are not counted, and of ids that must not occur."""

USUAL_IGNORED = (255, 65535)
"""Ids of ignored pixels where nothing else is said: the highest of 8 and of 16 bits."""


@dataclass(frozen=True)
class LabelIds:
    """What the ids of a dataset's label maps stand for."""

    ignored: tuple[int, ...] | None = None
    """Ids of pixels that are not counted. None: 255 and 65535 where these are no classes' ids."""
    mapping: tuple[int, ...] | None = None
    """The class id of each id, from id 0 on, `IGNORED` or `UNKNOWN`. None: ids are class ids."""
    reduce_zero_label: bool = False
    """Whether 0 is ignored and 1 is class 0, as mmsegmentation's option of that name has it."""

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
        return tuple(sorted({*ignored, *range(self.first)}))


COCO_STUFF_ABSENT = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
"""Those of COCO-Stuff's ids 0..181 that no image has (street sign, hat, shoe, eye glasses, plate,
mirror, window, desk, door, blender, hair brush): `labels.md` of the dataset, less one."""

_PRESENT = [one for one in range(182) if one not in COCO_STUFF_ABSENT]

COCO_STUFF_182 = LabelIds(
    ignored=(255,),
    mapping=tuple(_PRESENT.index(one) if one in _PRESENT else UNKNOWN for one in range(182)),
)
"""The ids of COCO-Stuff-164k's `stuffthingmaps`, 0..181 and 255, to the 171 classes."""

NAMED: dict[str, LabelIds] = {
    "as-is": LabelIds(),
    "reduce-zero": LabelIds(reduce_zero_label=True),
    "coco-stuff-182": COCO_STUFF_182,
}
"""What label ids may be called by."""


def parse_label_ids(value: object) -> LabelIds | None:
    """Reads the option `label_ids`: a name of `NAMED`, a `LabelIds`, or None; else DataSetError."""
    if value is None or isinstance(value, LabelIds):
        return value
    if not isinstance(value, str) or value not in NAMED:
        raise DataSetError(f"label_ids={value!r}: expected one of {', '.join(NAMED)}")
    return NAMED[value]
