"""Matches queries with targets, one to one, at the least cost (arXiv 2112.01527, section 3.3).

Shape letters: L predictions, B images, Q queries, K classes, N targets of an image, M matched
queries, P points, (h, w) size of mask logits, (H, W) size of label maps.
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from modelscope_vitadapter.config.criterion import CriterionSettings

WORST = 1e9
"""Bound of a cost. NaN and infinity become it, so that matching always has an answer."""


def matching_costs(
    class_logits: Tensor,
    mask_logits: Tensor,
    labels: Tensor,
    masks: Tensor,
    settings: CriterionSettings,
) -> Tensor:
    """Weighted sum of class, mask and dice cost of each query with each target.

    The class cost is the negated probability of the target's class, the mask cost the mean binary
    cross entropy over the points, the dice cost 1 minus the smoothed dice coefficient over them.

    A cost that is not finite becomes `WORST`, since with several processes none may stop alone: it
    comes from logits that are not, and then the loss is not either.

    Args:
        class_logits: `(Q, K + 1)` float32.
        mask_logits: `(Q, P)` float32, at the points.
        labels: `(N,)` int64 of the targets.
        masks: `(N, P)` float32 in [0, 1], the targets at the same points.
        settings: the weights.

    Returns:
        `(Q, N)` float32.
    """
    of_classes = -class_logits.softmax(dim=-1)[:, labels]
    # The cross entropy of logit x and truth t is softplus(x) - x t: one product for all pairs.
    all_false = F.softplus(mask_logits).sum(dim=1, keepdim=True)
    of_masks = (all_false - mask_logits @ masks.T) / mask_logits.shape[1]
    probabilities, eps = mask_logits.sigmoid(), settings.cost_dice_eps
    total = probabilities.sum(dim=1, keepdim=True) + masks.sum(dim=1)
    of_dice = 1 - (2 * probabilities @ masks.T + eps) / (total + eps)
    weights = settings.cost
    cost = weights.classes * of_classes + weights.mask * of_masks + weights.dice * of_dice
    return cost.nan_to_num(nan=WORST).clamp(-WORST, WORST)


def match(costs: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
    """Hungarian matching of every image of every prediction.

    Costs `[L][B]` of finite `(Q, N)`, N from 0 up, go to the host in one transfer, and all pairs
    `[L][B]` of `(2, M)` int64 come back in one: queries, ascending, and the target of each. M is
    known without waiting for the device.
    """
    single = [cost for layer in costs for cost in layer]
    host = torch.cat([cost.detach().flatten() for cost in single]).cpu()
    parts = host.split_with_sizes([cost.numel() for cost in single])
    found = [
        np.stack(linear_sum_assignment(part.view_as(cost).numpy()))
        for part, cost in zip(parts, single, strict=True)
    ]
    joined = torch.from_numpy(np.concatenate(found, axis=1)).to(single[0].device)
    pairs = iter(joined.split_with_sizes([one.shape[1] for one in found], dim=1))
    return [[next(pairs) for _ in layer] for layer in costs]
