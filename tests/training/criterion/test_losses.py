import pytest
import torch

from modelscope_vitadapter.training.criterion.losses import class_loss, dice_loss, mask_loss

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [-3.0, 0.0, 4.0]])
TRUTH = torch.tensor([[1.0, 0.0, 0.25], [0.0, 1.0, 1.0]])


def test_class_loss_is_the_weighted_sum_of_negated_log_probabilities():
    logits, weight = LOGITS[None], torch.tensor([1.0, 3.0, 0.1])
    found = class_loss(logits, torch.tensor([[1, 2]]), weight)
    log = LOGITS.log_softmax(dim=1)
    assert found.item() == pytest.approx((-3.0 * log[0, 1] - 0.1 * log[1, 2]).item())


def test_mask_loss_is_the_sum_of_each_masks_mean_entropy():
    p = LOGITS.sigmoid()
    entropy = -(TRUTH * p.log() + (1 - TRUTH) * (1 - p).log())
    assert mask_loss(LOGITS, TRUTH).item() == pytest.approx(entropy.mean(dim=1).sum().item())


def test_dice_loss_is_the_sum_of_one_minus_each_masks_overlap():
    p = LOGITS.sigmoid()
    expected = sum(
        1 - (2 * (a * b).sum() + 0.5) / (a.sum() + b.sum() + 0.5)
        for a, b in zip(p, TRUTH, strict=True)
    )
    assert dice_loss(LOGITS, TRUTH, 0.5).item() == pytest.approx(expected.item())
