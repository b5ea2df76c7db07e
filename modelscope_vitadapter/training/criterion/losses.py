"""The three losses as sums; the criterion divides them by the global batch's counts."""

from torch import Tensor
from torch.nn import functional as F


def class_loss(class_logits: Tensor, classes: Tensor, class_weight: Tensor) -> Tensor:
    """Sum over queries of the weighted cross entropy, a scalar.

    Args:
        class_logits: `(B, Q, K + 1)` float32, "no object" last.
        classes: `(B, Q)` int64 in 0 ... K.
        class_weight: `(K + 1,)` float32.
    """
    return F.cross_entropy(
        class_logits.flatten(0, 1), classes.flatten(), weight=class_weight, reduction="sum"
    )


def mask_loss(mask_logits: Tensor, masks: Tensor) -> Tensor:
    """Sum over masks of the mean binary cross entropy over points, a scalar.

    Args:
        mask_logits: `(M, P)` float32.
        masks: `(M, P)` float32 in [0, 1].
    """
    entropy = F.binary_cross_entropy_with_logits(mask_logits, masks, reduction="sum")
    return entropy / mask_logits.shape[1]


def dice_loss(mask_logits: Tensor, masks: Tensor, eps: float) -> Tensor:
    """Sum over masks of 1 minus the smoothed dice coefficient over points, a scalar.

    The denominator adds probabilities and truths as they are (V-Net's squares them).

    Args:
        mask_logits: `(M, P)` float32.
        masks: `(M, P)` float32 in [0, 1].
        eps: added to numerator and denominator.
    """
    probabilities = mask_logits.sigmoid()
    common = (probabilities * masks).sum(dim=1)
    total = probabilities.sum(dim=1) + masks.sum(dim=1)
    return (1 - (2 * common + eps) / (total + eps)).sum()
