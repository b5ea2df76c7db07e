"""Mask and dice loss, and the points at which masks are compared (PointRend, arXiv 1912.08193).

Points are `(x, y)` in [0, 1] across the whole map, so that the centre of pixel (row i, column j)
of an h x w map is `((j + 0.5) / w, (i + 0.5) / h)` and one point serves maps of any size. Beyond
the outermost pixel centres the value fades towards 0, as with zeros around the map.
"""

from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Tensor
from torch.nn import functional as F

from modelscope_vitadapter.config.criterion import PointSettings


def mask_loss(mask_logits: Tensor, masks: Tensor) -> Tensor:
    """Sum over masks of the mean binary cross entropy over points: `(M, P)` each, to a scalar."""
    entropy = F.binary_cross_entropy_with_logits(mask_logits, masks, reduction="sum")
    return entropy / mask_logits.shape[1]


def dice_loss(mask_logits: Tensor, masks: Tensor, eps: float) -> Tensor:
    """Sum over masks of 1 minus the smoothed dice coefficient over points: `(M, P)` each.

    The denominator adds probabilities and truths as they are (V-Net's squares them).
    """
    probabilities = mask_logits.sigmoid()
    common = (probabilities * masks).sum(dim=1)
    total = probabilities.sum(dim=1) + masks.sum(dim=1)
    return (1 - (2 * common + eps) / (total + eps)).sum()


def sample_maps(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear values `(N, P)` of maps `(N, h, w)` of any type at points.

    Points are `(P, 2)` for all maps, or `(N, P, 2)` for each its own; N is at least 1.
    """
    shared, maps = points.dim() == 2, maps.float()
    grid = 2 * points - 1
    sampled = F.grid_sample(
        maps[None] if shared else maps[:, None],
        grid[None, :, None] if shared else grid[:, :, None],
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    )
    return sampled[0, :, :, 0] if shared else sampled[:, 0, :, 0]


class SeededPoints:
    """Random points that depend on the sample's seed, the prediction and the purpose alone.

    So a sample has the same points in whichever batch, row or process it is. They are drawn on the
    device that uses them: another kind of device draws others.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str) -> None:
        self.seeds = seeds
        self.device = device

    def for_matching(self, layer: int, image: int, count: int) -> Tensor:
        """Uniform points `(count, 2)` for the matching costs of an image in a prediction."""
        generator = self._generator(layer, image, "matching")
        return torch.rand(count, 2, generator=generator, device=self.device)

    def for_loss(
        self, layer: int, image: int, mask_logits: Tensor, settings: PointSettings
    ) -> Tensor:
        """Points `(M, num_points, 2)` for the losses of an image, of matched masks `(M, h, w)`."""
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
    most uncertain ones are kept, both rounded down; the rest is drawn anew. Each mask has its own:
    logits `(M, h, w)` to `(M, num_points, 2)` float32.
    """
    masks, count, device = len(mask_logits), settings.num_points, generator.device
    chosen = int(count * settings.importance_sample_ratio)
    drawn = int(count * settings.oversample_ratio) if chosen else 0
    points = torch.rand(masks, drawn, 2, generator=generator, device=device)
    distance = sample_maps(mask_logits, points).abs()
    nearest = distance.topk(chosen, dim=1, largest=False).indices
    kept = points.gather(1, nearest[:, :, None].expand(-1, -1, 2))
    rest = torch.rand(masks, count - chosen, 2, generator=generator, device=device)
    return torch.cat([kept, rest], dim=1)
