"""How far the logits and class maps of two sides are apart."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

KINDS = ("class", "mask")


def compare_logits(found: Path, expected: Path) -> dict[str, Any]:
    """Compares what `worker.Side.logits` saved of one picture on two sides.

    Args:
        found: file of the side that is judged.
        expected: file of the side that it is judged by.

    Returns:
        For `class` and `mask`, over all windows: `largest` (largest difference over the largest
        absolute value expected), `relative_l2` (norm of the difference over the norm expected) and
        `scale` (largest absolute value expected); `equal_pixels`, a share; `classes` expected;
        `mask_entries` of the thresholded attention masks of all layers and windows, and how many of
        them are `flipped`.

    Raises:
        ValueError: the two have other windows or shapes.
    """
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(np.load(path)) for path in (found, expected))
        if sorted(ours.files) != sorted(theirs.files):
            raise ValueError(
                f"{len(ours.files) - 1} and {len(theirs.files) - 1} arrays were saved: the two "
                "sides cut the picture into other windows, so their answers can't be compared"
            )
        answer: dict[str, Any] = {
            kind: _differences(_pairs(ours, theirs, f"{kind}_logits_")) for kind in KINDS
        }
        maps = ours["class_map"], theirs["class_map"]
        answer["flipped"] = answer["mask_entries"] = 0
        for a, b in _pairs(ours, theirs, "allowed_"):
            answer["flipped"] += int(np.unpackbits(a ^ b).sum())
            answer["mask_entries"] += 8 * len(b)
    answer["equal_pixels"] = float(np.mean(maps[0] == maps[1]))
    answer["classes"] = len(np.unique(maps[1]))
    return answer


def _pairs(ours: Any, theirs: Any, prefix: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for name in sorted(ours.files):
        if name.startswith(prefix):
            a, b = ours[name], theirs[name]
            if a.shape != b.shape:
                raise ValueError(f"{name}: shape {a.shape} cannot be compared with {b.shape}")
            yield a, b


def _differences(pairs: Iterator[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    largest = scale = difference = norm = 0.0
    for found, expected in pairs:
        a, b = found.astype(np.float64), expected.astype(np.float64)
        largest = max(largest, float(np.abs(a - b).max()))
        scale = max(scale, float(np.abs(b).max()))
        difference += float(np.square(a - b).sum())
        norm += float(np.square(b).sum())
    return {
        "largest": largest / scale,
        "relative_l2": float(np.sqrt(difference / norm)),
        "scale": scale,
    }
