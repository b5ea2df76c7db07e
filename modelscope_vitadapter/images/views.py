"""One view of test-time augmentation: a flip and the steps that lead to it."""

from __future__ import annotations

from dataclasses import dataclass

from modelscope_vitadapter.images.steps import FlipDirection, Size, Step


@dataclass(frozen=True)
class View:
    """The steps from an image to one network input."""

    steps: tuple[Step, ...]
    flip: FlipDirection | None = None
    """How the result is mirrored; the mirroring itself is one of the steps."""

    def output_size(self, size: Size) -> Size:
        """Return the `(height, width)` of the result, without computing it."""
        for step in self.steps:
            size = step.output_size(size)
        return size
