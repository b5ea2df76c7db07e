"""The ids that label maps hold, counted, and what about them can't be meant."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.datasets.label_ids import IGNORED, USUAL_IGNORED, LabelIds
from modelscope_vitadapter.datasets.label_maps import class_table
from modelscope_vitadapter.hints import option
from modelscope_vitadapter.validation import listing

FEW_CLASSES, LARGE_SHARE = 8, 0.5
"""With so few classes at most, an ignored id on more than this share of an image is suspicious."""


@dataclass
class IdCounts:
    """Pixels by id, as stored, over some label maps."""

    pixels: Counter[int] = field(default_factory=Counter)
    maps: Counter[int] = field(default_factory=Counter)  # label maps that have the id
    images: int = 0
    largest_ignored: tuple[float, int, str] = (0.0, 0, "")
    """Largest share of an image that one of `USUAL_IGNORED` has, the id, and the image's name."""

    def add(self, ids: NDArray[np.integer], name: str) -> None:
        """Counts a label map `(H, W)` of an image."""
        values, counts = np.unique(ids, return_counts=True)
        found = dict(zip(values.tolist(), counts.tolist(), strict=True))
        self.pixels.update(found)
        self.maps.update(found.keys())
        self.images += 1
        for one in USUAL_IGNORED:
            share = found.get(one, 0) / ids.size
            self.largest_ignored = max(self.largest_ignored, (share, one, name))

    @classmethod
    def joined(cls, parts: Sequence["IdCounts"]) -> "IdCounts":
        """The counts of all parts together."""
        total = cls()
        for one in parts:
            total.pixels.update(one.pixels)
            total.maps.update(one.maps)
            total.images += one.images
            total.largest_ignored = max(total.largest_ignored, one.largest_ignored)
        return total


@dataclass(frozen=True)
class Oddities:
    """What is odd about a dataset's ids, in sentences that say what to type."""

    cannot_be_meant: tuple[str, ...] = ()
    perhaps_meant: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()  # classes that never occur

    @property
    def all(self) -> tuple[str, ...]:
        """All of them."""
        return self.cannot_be_meant + self.perhaps_meant + self.absent


def odd_ids(
    counts: IdCounts,
    label_ids: LabelIds,
    num_classes: int,
    *,
    classes: Sequence[str] | None = None,
    are_told: bool = False,
) -> Oddities:
    """Looks for ids that can't be meant as they are read.

    Args:
        counts: of the label maps that were looked at.
        label_ids: how they are read.
        num_classes: K.
        classes: their names, for the messages.
        are_told: whether somebody said what ids mean. Then nothing is `cannot_be_meant`.
    """
    if not counts.images:
        return Oddities()
    table = class_table(label_ids, num_classes)
    ids = sorted(one for one in counts.pixels if 0 <= one < len(table))
    found = {int(table[one]) for one in ids if table[one] >= 0}
    ignored = [one for one in ids if one in USUAL_IGNORED and table[one] == IGNORED]
    where = f"in the {counts.images} label maps that were looked at"
    impossible, possible, absent = [], [], []
    if not found:
        possible.append(
            f"no pixel {where} has a class, all are of ids that are not counted: {_span(ids)}"
        )
    if not are_told and ignored and len(found) == 1 and num_classes > 1:
        impossible.append(_ignored_object(counts, ids, ignored[0], where))
    elif not are_told and ignored and num_classes <= FEW_CLASSES:
        share, one, name = counts.largest_ignored
        if share > LARGE_SHARE:
            possible.append(
                f"id {one}, which is not counted, has {100 * share:.0f} % of the pixels of {name}. "
                f"If it is a class, say so: {option('label_ids', _mapping(ids))}; if not: "
                f"{option('ignore_ids', one)}"
            )
    plain = not are_told and label_ids.mapping is None and label_ids.colours is None
    if plain and found and min(found) > 0 and not label_ids.reduce_zero_label:
        impossible.append(
            f"id 0 is never used {where}, which hold the ids {_span(ids, ignored)}. If they begin "
            f"at 1, say {option('label_ids', 'reduce-zero')}; if class 0 is just absent, "
            f"{option('label_ids', 'as-is')}"
        )
    countable = set(table.tolist())  # what is left out on purpose is not absent
    between = range(min(found, default=0), max(found, default=0))
    gaps = [one for one in between if one in countable and one not in found]
    if gaps:
        names = [f"{one} ({classes[one]})" if classes else str(one) for one in gaps]
        absent.append(
            f"no pixel {where} is of class {listing(names)}, while later classes are there"
        )
    return Oddities(tuple(impossible), tuple(possible), tuple(absent))


def _ignored_object(counts: IdCounts, ids: list[int], ignored: int, where: str) -> str:
    share = counts.pixels[ignored] / max(sum(counts.pixels.values()), 1)
    return (
        f"{where[0].upper()}{where[1:]} there are only the ids {_span(ids)}, and {ignored}, "
        f"with {100 * share:.0f} % of the pixels, is not counted. If it is a class, say "
        f"{option('label_ids', _mapping(ids))}; if it is to be passed over, "
        f"{option('ignore_ids', ignored)}"
    )


def _mapping(ids: list[int]) -> str:
    return ",".join(f"{one}:{number}" for number, one in enumerate(ids[:FEW_CLASSES]))


def _span(ids: list[int], without: Sequence[int] = ()) -> str:
    """Ids as text, runs of them shortened: 1 to 5, 9."""
    kept = [one for one in ids if one not in without]
    starts = [kept[0]] + [b for a, b in pairwise(kept) if b > a + 1] if kept else []
    ends = [a for a, b in pairwise(kept) if b > a + 1] + kept[-1:]
    runs = zip(starts, ends, strict=True)
    return listing([str(a) if a == b else f"{a} to {b}" for a, b in runs])
