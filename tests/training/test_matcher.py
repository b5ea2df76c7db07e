import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from torch.nn import functional as F

from modelscope_vitadapter.config.criterion import CriterionSettings, PartWeights
from modelscope_vitadapter.training.matcher import WORST, match, matching_costs

SETTINGS = CriterionSettings(class_weight=(1.0,) * 4 + (0.1,))


def example():
    """Class logits, mask logits, labels and masks of three queries and two targets."""
    generator = torch.Generator().manual_seed(0)
    class_logits = torch.randn(3, 5, generator=generator)
    mask_logits = 3 * torch.randn(3, 10, generator=generator)
    return class_logits, mask_logits, torch.tensor([2, 0]), torch.rand(2, 10, generator=generator)


@pytest.mark.parametrize("part", ["classes", "mask", "dice"])
def test_each_cost_is_its_definition_pair_by_pair(part):
    class_logits, mask_logits, labels, masks = example()
    weights = PartWeights(**{"classes": 0.0, "mask": 0.0, "dice": 0.0, part: 3.0})
    cost = matching_costs(*example(), CriterionSettings(SETTINGS.class_weight, cost=weights))
    for query, target in np.ndindex(3, 2):
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
    expected = matching_costs(class_logits, mask_logits, labels, masks, SETTINGS)
    mask_logits[1, 4] = value
    class_logits[2] = float("nan")
    cost = matching_costs(class_logits, mask_logits, labels, masks, SETTINGS)
    assert torch.equal(cost[0], expected[0])
    assert (cost[1] - expected[1]).abs().max() > 1e3
    assert cost.abs().max() <= WORST
    assert cost[2].tolist() == [WORST, WORST]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(1, 3))
def test_matches_of_a_batch_are_those_of_each_image(counts, layers):
    generator = torch.Generator().manual_seed(0)
    costs = [[torch.rand(4, n, generator=generator) for n in counts] for _ in range(layers)]
    found = match(costs)
    for layer, pairs_of_layer in zip(costs, found, strict=True):
        for cost, pairs in zip(layer, pairs_of_layer, strict=True):
            assert np.array_equal(pairs.numpy(), linear_sum_assignment(cost))
