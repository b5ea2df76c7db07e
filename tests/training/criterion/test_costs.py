import pytest
import torch
from torch.nn import functional as F

from modelscope_vitadapter.training.criterion.costs import WORST, matching_costs
from tests.training.criterion.batches import CLASSES, PartWeights, settings_with


def example():
    generator = torch.Generator().manual_seed(0)
    class_logits = torch.randn(3, CLASSES + 1, generator=generator)
    mask_logits = 3 * torch.randn(3, 10, generator=generator)
    return class_logits, mask_logits, torch.tensor([2, 0]), torch.rand(2, 10, generator=generator)


@pytest.mark.parametrize("part", ["classes", "mask", "dice"])
def test_each_cost_is_its_definition_pair_by_pair(part):
    class_logits, mask_logits, labels, masks = example()
    weights = {"classes": 0.0, "mask": 0.0, "dice": 0.0, part: 3.0}
    cost = matching_costs(*example(), settings_with(cost=PartWeights(**weights)))
    for query in range(3):
        for target in range(2):
            probability = mask_logits[query].sigmoid()
            common = (probability * masks[target]).sum()
            expected = {
                "classes": -class_logits[query].softmax(0)[labels[target]],
                "mask": F.binary_cross_entropy(probability, masks[target]),
                "dice": 1 - (2 * common + 1) / (probability.sum() + masks[target].sum() + 1),
            }[part]
            assert cost[query, target].item() == pytest.approx(3 * expected.item(), abs=1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e38])
def test_costs_are_finite_whatever_the_logits(value):
    class_logits, mask_logits, labels, masks = example()
    expected = matching_costs(class_logits, mask_logits, labels, masks, settings_with())
    mask_logits[1, 4] = value
    cost = matching_costs(class_logits, mask_logits, labels, masks, settings_with())
    assert cost.abs().max() <= WORST
    assert torch.equal(cost[0], expected[0])
    assert (cost[1] - expected[1]).abs().max() > 1e3
    class_logits[2] = float("nan")
    cost = matching_costs(class_logits, mask_logits, labels, masks, settings_with())
    assert cost[2].tolist() == [WORST, WORST]
