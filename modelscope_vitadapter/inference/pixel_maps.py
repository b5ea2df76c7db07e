"""What is known of each pixel of an image while it is decided strip by strip."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from modelscope_vitadapter.config.settings import Size
from modelscope_vitadapter.inference.results import Prediction
from modelscope_vitadapter.inference.wanted import Wanted


@dataclass(frozen=True)
class PixelMaps:
    """Maps `(H, W)` of an image or, of its best classes, `(k, H, W)`; None is what isn't wanted."""

    wanted: Wanted
    class_map: Tensor
    confidence: Tensor | None
    top_ids: Tensor | None
    top_probabilities: Tensor | None

    @staticmethod
    def empty(size: Size, num_classes: int, wanted: Wanted, device: torch.device) -> "PixelMaps":
        """Maps to be filled; `wanted` was checked."""
        half, count = torch.float16, wanted.top_k
        top = None if count is None else (count, *size)
        # As a rule one byte holds an id; the eight that are given in the end are taken once.
        narrow = _narrow(num_classes - 1)
        with_ignored = _narrow(max(num_classes - 1, wanted.ignored or 0))
        return PixelMaps(
            wanted,
            torch.empty(size, dtype=with_ignored, device=device),
            torch.empty(size, dtype=half, device=device) if wanted.confidence else None,
            None if top is None else torch.empty(top, dtype=narrow, device=device),
            None if top is None else torch.empty(top, dtype=half, device=device),
        )

    def fill(self, strip: range, ids: Tensor, chances: Tensor | None) -> None:
        """Takes the best classes `(k, rows, W)` of consecutive rows, and their probabilities."""
        rows = slice(strip.start, strip.stop)
        best, threshold = ids[0], self.wanted.threshold
        if chances is not None:
            if threshold is not None and self.wanted.ignored is not None:
                best = best.where(chances[0] >= threshold, self.wanted.ignored)
            if self.confidence is not None:
                self.confidence[rows] = chances[0]
            if self.top_ids is not None and self.top_probabilities is not None:
                self.top_ids[:, rows], self.top_probabilities[:, rows] = ids, chances
        self.class_map[rows] = best

    def prediction(self, transposed: bool, probabilities: Tensor | Path | None) -> Prediction:
        """What is handed on, upright where rows and columns changed place."""

        def upright(values: Tensor | None) -> Tensor | None:
            if values is None:
                return None
            return (values.transpose(-2, -1) if transposed else values).contiguous()

        class_map = upright(self.class_map)
        assert class_map is not None
        return Prediction(
            class_map.long(),
            upright(self.confidence),
            upright(self.top_ids),
            upright(self.top_probabilities),
            probabilities,
            self.wanted.ignored,
        )


def _narrow(highest: int) -> torch.dtype:
    return torch.uint8 if highest <= 255 else torch.int32
