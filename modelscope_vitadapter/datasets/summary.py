"""What a person wants to know of a dataset before it is used: pairs, ids, names, what is odd."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.datasets.check import Look, look_at_all, oddities
from modelscope_vitadapter.datasets.dataset import SegmentationDataset, classes_of
from modelscope_vitadapter.datasets.id_counts import IdCounts
from modelscope_vitadapter.datasets.label_ids import IGNORED, USUAL_IGNORED
from modelscope_vitadapter.datasets.label_maps import class_table
from modelscope_vitadapter.datasets.reading import read_ids, read_sample
from modelscope_vitadapter.hints import option
from modelscope_vitadapter.images.drawing import default_palette, fit_within, overlay
from modelscope_vitadapter.validation import LISTED, listing
from modelscope_vitadapter.visualization.fonts import make_label
from modelscope_vitadapter.visualization.legend import Entry, draw_legend

CELL, LETTERS, OPACITY = 320, 12, 0.5
"""Longest side of an image on a sheet, size of its legend's letters, and share of colours."""


def summary(
    dataset: SegmentationDataset, *, limit: int | None, num_classes: int | None = None
) -> tuple[str, bool]:
    """Describes a dataset after a look at `limit` of its images, evenly spread; None for all.

    Returns:
        The text, and whether nothing was found that keeps the dataset from being used.
    """
    indices = _spread(len(dataset), limit)
    count = num_classes or guessed_classes(dataset, indices)
    found = look_at_all(dataset, indices, count)
    seen = [one for one in found if isinstance(one, Look)]
    problems = [one for one in found if isinstance(one, str)]
    counts = IdCounts.joined([one.counts for one in seen])
    odd = oddities(dataset, counts, count)
    layout = getattr(dataset, "layout", None)
    lines = [
        f"{getattr(dataset, 'name', type(dataset).__name__)}: {len(dataset)} images with label maps"
        + (f", layout {layout}" if layout else ""),
        f"  looked at {len(indices)}; sizes (height x width): {_sizes(seen)}",
        *_id_lines(dataset, counts, count),
        *(f"  odd: {text}" for text in odd.all),
        *(f"  can't be used: {text}" for text in problems[:LISTED]),
    ]
    turned = next((one.name for one in seen if one.is_ambiguous), None)
    if turned is not None:
        lines.append(
            f"  odd: {turned} was turned as its EXIF data says; if its label map was drawn on the "
            f"image as stored, say {option('exif', 'ignore')}"
        )
    if len(problems) > LISTED:
        lines.append(f"  and {len(problems) - LISTED} others can't be used")
    return "\n".join(lines), not problems and not odd.cannot_be_meant


def guessed_classes(dataset: SegmentationDataset, indices: Sequence[int]) -> int:
    """How many classes a dataset has: what it names, or else what its ids reach, at least 2."""
    names, ids = classes_of(dataset), dataset.label_ids
    if names is not None:
        return len(names)
    if ids.mapping is not None:
        return max(*ids.mapping, 1) + 1
    highest = 1
    for index in indices:
        try:
            found = read_ids(dataset[index], ids)
        except Exception:  # told when the image itself is looked at
            continue
        values = [one for one in np.unique(found).tolist() if one not in USUAL_IGNORED]
        highest = max([highest, *(one - ids.first for one in values)])
    return highest + 1


def _spread(length: int, limit: int | None) -> list[int]:
    """Indices, evenly spread over a dataset."""
    if limit is None or length <= limit:
        return list(range(length))
    return sorted({number * length // limit for number in range(limit)})


def _sizes(seen: Sequence[Look]) -> str:
    sizes = Counter(one.size for one in seen).most_common()
    return listing([f"{height} x {width} ({number})" for (height, width), number in sizes]) or "-"


def _id_lines(dataset: SegmentationDataset, counts: IdCounts, num_classes: int) -> list[str]:
    """A line for each id: its class, its share of all pixels, and how many label maps have it."""
    names, table = classes_of(dataset), class_table(dataset.label_ids, num_classes)
    total, lines = max(sum(counts.pixels.values()), 1), []
    for one in sorted(counts.pixels):
        target = int(table[one]) if one >= 0 else IGNORED
        meaning = "not counted"
        if target >= 0:
            meaning = names[target] if names and target < len(names) else f"class {target}"
        share = 100 * counts.pixels[one] / total
        where = f"in {counts.maps[one]} of {counts.images}"
        lines.append(f"  id {one:>5}  {share:6.2f} %  {where}  {meaning}")
    return lines


def preview(
    datasets: Sequence[SegmentationDataset], count: int, num_classes: int | None = None
) -> NDArray[np.uint8]:
    """Draws images of datasets beside the same with their labels on top, and a legend.

    Returns:
        `(H, W, 3)` BGR, `count` rows at most; images that can't be read are left out.
    """
    share = -(-count // len(datasets))
    rows, known, classes = [], set[int](), 0
    for dataset in datasets:
        indices = _spread(len(dataset), share)
        classes = max(classes, num_classes or guessed_classes(dataset, indices))
        for index in indices:
            try:
                found = read_sample(dataset[index], dataset.label_ids, classes)
            except Exception:  # the summary says what is wrong
                continue
            rgb = np.ascontiguousarray(found.image[..., ::-1])
            drawn = overlay(rgb, found.classes, default_palette(classes), OPACITY)
            rows.append(np.concatenate([fit_within(one, CELL) for one in (rgb, drawn)], axis=1))
            known |= set(np.unique(found.classes).tolist()) - {IGNORED}
    names = classes_of(datasets[0])
    rows.append(_legend(sorted(known), classes, names))
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0))) for row in rows]
    return np.ascontiguousarray(np.concatenate(padded)[..., ::-1])


def _legend(known: Sequence[int], classes: int, names: Sequence[str] | None) -> NDArray[np.uint8]:
    """Colours, ids and names of classes, one a line."""
    palette, entries = default_palette(classes), []
    for one in known:
        name = names[one] if names and one < len(names) else ""
        red, green, blue = palette[one]
        entries.append(Entry((red, green, blue), make_label(f"{one} {name}", one)))
    return np.asarray(draw_legend(entries, LETTERS, max(len(entries), 1)))
