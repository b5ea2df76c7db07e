import builtins
from itertools import permutations

import numpy as np
import pytest
import torch

from modelscope_vitadapter.errors import TrainingError
from modelscope_vitadapter.training.criterion.matching import assignment, match


def least_cost(cost):
    """The least total cost by trying every assignment."""
    if cost.shape[0] < cost.shape[1]:
        cost = cost.T
    columns = range(cost.shape[1])
    return min(
        sum(cost[row, column] for column, row in zip(columns, rows, strict=True))
        for rows in permutations(range(cost.shape[0]), len(columns))
    )


@pytest.mark.parametrize("shape", [(6, 3), (5, 5), (3, 6), (7, 1), (1, 4)])
def test_matching_is_the_best_of_all_assignments(shape):
    for seed in range(5):
        cost = np.random.default_rng(seed).normal(size=shape)
        rows, columns = assignment(cost)
        assert len(set(rows)) == len(set(columns)) == len(rows) == min(shape)
        assert list(rows) == sorted(rows)
        assert cost[rows, columns].sum() == pytest.approx(least_cost(cost))


def test_matches_of_a_batch_are_those_of_each_image():
    generator = torch.Generator().manual_seed(0)
    costs = [[torch.rand(6, n, generator=generator) for n in (2, 0, 5)] for _ in range(3)]
    matches = match(costs)
    assert matches.counts == [[2, 0, 5]] * 3
    assert torch.equal(matches.places, matches.targets + 2 * (matches.images == 2))
    for layer, of_layer in enumerate(costs):
        pairs = matches.of_layer(layer)
        expected = [assignment(cost.double().numpy()) for cost in of_layer]
        assert pairs.queries.tolist() == [q for rows, _ in expected for q in rows]
        assert pairs.images.tolist() == [0, 0, 2, 2, 2, 2, 2]
        assert [own.tolist() for own in pairs.targets] == [list(columns) for _, columns in expected]


def test_no_target_in_the_batch_is_no_match():
    matches = match([[torch.zeros(4, 0)], [torch.zeros(4, 0)]])
    assert matches.counts == [[0], [0]]
    assert len(matches.of_layer(1).queries) == 0


def test_a_missing_scipy_is_named_with_the_remedy(monkeypatch):
    real = builtins.__import__

    def without_scipy(name, *arguments, **keywords):
        if name.startswith("scipy"):
            raise ImportError("No module named 'scipy'")
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without_scipy)
    with pytest.raises(TrainingError, match="pip install scipy"):
        assignment(np.zeros((2, 2)))
