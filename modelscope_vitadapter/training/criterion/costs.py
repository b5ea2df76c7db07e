"""What it costs to match a query with a target (arXiv 2112.01527, section 3.3)."""

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
    cross entropy over the points, the dice cost 1 minus the dice coefficient over them.

    A cost that is not finite becomes `WORST`: it comes from logits that are not, whose loss says so
    to the trainer, which knows the batch's files; and with several processes none stops alone.

    Args:
        class_logits: `(Q, K + 1)` float32.
        mask_logits: `(Q, P)` float32, at the points.
        labels: `(N,)` int64 of the targets.
        masks: `(N, P)` float32 in [0, 1], the targets at the same points.
        settings: the weights.

    Returns:
        `(Q, N)` float32 in `-WORST ... WORST`.
    """
    cost = settings.cost.classes * class_cost(class_logits, labels)
    cost = cost + settings.cost.mask * mask_cost(mask_logits, masks)
    cost = cost + settings.cost.dice * dice_cost(mask_logits, masks, settings.cost_dice_eps)
    return cost.nan_to_num(nan=WORST).clamp(-WORST, WORST)


def class_cost(class_logits: Tensor, labels: Tensor) -> Tensor:
    """Negated probability of each target's class, `(Q, N)` in [-1, 0]."""
    return -class_logits.softmax(dim=-1)[:, labels]


def mask_cost(mask_logits: Tensor, masks: Tensor) -> Tensor:
    """Mean binary cross entropy over the points, `(Q, N)`.

    The cross entropy of logit x and truth t is softplus(x) - x t: one product for all pairs.
    """
    all_false = F.softplus(mask_logits).sum(dim=1, keepdim=True)
    return (all_false - mask_logits @ masks.T) / mask_logits.shape[1]


def dice_cost(mask_logits: Tensor, masks: Tensor, eps: float) -> Tensor:
    """1 minus the smoothed dice coefficient over the points, `(Q, N)` in [0, 1]."""
    probabilities = mask_logits.sigmoid()
    total = probabilities.sum(dim=1, keepdim=True) + masks.sum(dim=1)
    return 1 - (2 * probabilities @ masks.T + eps) / (total + eps)
