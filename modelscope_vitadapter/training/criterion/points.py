"""Random points at which masks are compared."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Protocol

import torch
from torch import Tensor

from modelscope_vitadapter.config.criterion import PointSettings
from modelscope_vitadapter.training.criterion.sampling import sample_maps


class Points(Protocol):
    """Where masks are compared; (x, y) in [0, 1], see `sampling`."""

    def for_matching(self, layer: int, image: int, count: int) -> Tensor:
        """Points for the matching costs of one image, `(count, 2)`, shared by its masks.

        Args:
            layer: which prediction, 0 is the one before the first decoder layer.
            image: which image of the batch.
            count: how many.
        """
        ...

    def for_loss(
        self, layer: int, image: int, mask_logits: Tensor, settings: PointSettings
    ) -> Tensor:
        """Points for the losses of one image, `(M, settings.num_points, 2)`.

        Args:
            layer: which prediction, 0 is the one before the first decoder layer.
            image: which image of the batch.
            mask_logits: `(M, h, w)` of the matched queries in ascending order, M at least 1.
            settings: how many points are drawn, and which of them are taken.
        """
        ...


class SeededPoints:
    """Points that depend on the sample, the layer and the purpose alone.

    So a sample has the same points in whichever batch, row or process it is. They are drawn on the
    device that uses them: another kind of device draws others.

    Args:
        seeds: one for each sample of the batch.
        device: where the criterion computes.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str) -> None:
        self.seeds = tuple(seeds)
        self.device = torch.device(device)

    def for_matching(self, layer: int, image: int, count: int) -> Tensor:
        """Uniform points, `(count, 2)` float32."""
        generator = self._generator(layer, image, "matching")
        return torch.rand(count, 2, generator=generator, device=self.device)

    def for_loss(
        self, layer: int, image: int, mask_logits: Tensor, settings: PointSettings
    ) -> Tensor:
        """Importance-sampled points, `(M, settings.num_points, 2)` float32."""
        return uncertain_points(mask_logits, settings, self._generator(layer, image, "loss"))

    def _generator(self, layer: int, image: int, purpose: str) -> torch.Generator:
        text = f"{self.seeds[image]} {layer} {purpose}"
        seed = int.from_bytes(blake2b(text.encode(), digest_size=7).digest(), "big")
        return torch.Generator(self.device).manual_seed(seed)


def uncertain_points(
    mask_logits: Tensor, settings: PointSettings, generator: torch.Generator
) -> Tensor:
    """Random points, most of them where a mask's logit is near 0 (PointRend, section 3.1).

    Of `num_points * oversample_ratio` uniform points the `num_points * importance_sample_ratio`
    most uncertain ones are kept, both rounded down; the rest is drawn anew. Each mask has its own.

    Args:
        mask_logits: `(M, h, w)` floating point.
        settings: the counts.
        generator: what is drawn from; the points lie on its device, which is also the logits'.

    Returns:
        `(M, num_points, 2)` float32, (x, y) in [0, 1].
    """
    masks, count = mask_logits.shape[0], settings.num_points
    chosen = int(count * settings.importance_sample_ratio)
    drawn = int(count * settings.oversample_ratio)
    parts = []
    if chosen:
        points = torch.rand(masks, drawn, 2, generator=generator, device=generator.device)
        distance = sample_maps(mask_logits.float(), points).abs()
        nearest = distance.topk(chosen, dim=1, largest=False).indices
        parts.append(points.gather(1, nearest[:, :, None].expand(-1, -1, 2)))
    if chosen < count:
        shape = (masks, count - chosen, 2)
        parts.append(torch.rand(shape, generator=generator, device=generator.device))
    return torch.cat(parts, dim=1)
