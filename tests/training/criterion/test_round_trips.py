"""A step of the criterion waits for its device once, for the costs, and sends it the pairs."""

from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from modelscope_vitadapter.training.criterion import criterion as criterion_module
from modelscope_vitadapter.training.criterion.criterion import Mask2FormerCriterion
from modelscope_vitadapter.training.criterion.matching import match
from modelscope_vitadapter.training.criterion.points import SeededPoints
from modelscope_vitadapter.training.criterion.targets import targets_of
from tests.training.criterion.batches import Head, features_of, label_maps, settings_with

aten = torch.ops.aten

WAITING = {
    aten._local_scalar_dense,
    aten.nonzero,
    aten.masked_select,
    aten._unique2,
    aten.is_nonzero,
    aten.equal,
    aten.lift_fresh,
}
"""What reads a device's numbers, has a size that only the device knows, or copies numbers to it."""


class CountRoundTrips(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        packet = operator.overloadpacket
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        by_mask = packet in (aten.index, aten.index_put_) and any(
            x.dtype == torch.bool for x in tensors[1:]
        )
        self.found[str(operator)] += packet in WAITING or by_mask
        return operator(*args, **(kwargs or {}))


def test_only_the_matching_goes_to_the_host(monkeypatch):
    maps = label_maps([[0, 2], [], [1, 2, 3]])
    targets, predictions = [targets_of(one) for one in maps], Head()(features_of(3))
    criterion, points = Mask2FormerCriterion(settings_with()), SeededPoints([1, 2, 3], "cpu")
    answers = []

    def remember(costs):
        answers.append(match(costs))
        return answers[-1]

    monkeypatch.setattr(criterion_module, "match", remember)
    expected = criterion(predictions, targets, points)["loss"]
    assert len(answers) == 1
    monkeypatch.setattr(criterion_module, "match", lambda costs: answers[0])
    with CountRoundTrips() as counting:
        loss = criterion(predictions, targets, points)["loss"]
        loss.backward()
    assert loss.item() == expected.item()
    assert +counting.found == Counter()


def test_the_matching_is_one_copy_each_way(monkeypatch):
    costs = [[torch.rand(6, n) for n in (2, 0, 5)] for _ in range(3)]
    read = []
    real = torch.Tensor.cpu

    def cpu(tensor):
        read.append(tensor)
        return real(tensor)

    monkeypatch.setattr(torch.Tensor, "cpu", cpu)
    with CountRoundTrips() as counting:
        match(costs)
    assert len(read) == 1
    assert sum(counting.found.values()) <= 1
