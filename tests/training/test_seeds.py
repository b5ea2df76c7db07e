import itertools

import numpy as np
import pytest

from modelscope_vitadapter.training.seeds import epoch_order, sample_seed


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ((0, 0, 0), 1317536309490288386),
        ((42, 3, 117), 1363541694952438644),
        ((2**70, 10**6, 2**40), 7660730070676017681),
    ],
)
def test_seeds_stay_what_they_are(key, expected):
    """Otherwise a training that is resumed with another version goes on differently."""
    assert sample_seed(*key) == expected


def test_seeds_differ_by_training_epoch_and_index():
    keys = list(itertools.product(range(4), range(10), range(50)))
    seeds = [sample_seed(*key) for key in keys]
    assert len(set(seeds)) == len(keys)
    assert min(seeds) >= 0
    assert max(seeds) < 2**63
    assert np.mean(np.array(seeds) >= 2**62) == pytest.approx(0.5, abs=0.05)


def test_the_order_is_the_one_that_was_agreed_on():
    for seed, epoch in ((0, 0), (42, 0), (42, 1)):
        expected = np.random.default_rng((seed, epoch)).permutation(30)
        assert np.array_equal(epoch_order(30, seed, epoch), expected)
    assert sorted(epoch_order(30, 1, 2)) == list(range(30))
    assert not np.array_equal(epoch_order(30, 0, 1), epoch_order(30, 1, 0))
