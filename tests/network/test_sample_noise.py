import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from modelscope_vitadapter.network.seeded_dropout import DropPath
from modelscope_vitadapter.network.seeded_dropout import Dropout, mixed, set_sample_seeds


def noisy():
    """Two drop paths and a dropout, as an example of a network."""
    return nn.Sequential(DropPath(0.5), Dropout(0.3), DropPath(0.5)).train()


def answer(network, seeds, x):
    set_sample_seeds(network, seeds)
    return network(x)


def test_mixed_numbers_look_uniform_and_tell_orders_apart():
    values = torch.tensor([mixed(seed, 3) / 2**64 for seed in range(4000)])
    assert float(values.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(values.var()) == pytest.approx(1 / 12, abs=0.005)
    assert len({mixed(1, 2), mixed(2, 1), mixed(1), mixed(1, 0)}) == 4


def test_a_sample_is_dropped_alike_in_any_batch():
    network, x = noisy(), torch.randn(6, 5, 4)
    seeds = [11, 12, 13, 14, 15, 16]
    whole = answer(network, seeds, x)
    halves = [answer(network, seeds[:3], x[:3]), answer(network, seeds[3:], x[3:])]
    assert torch.equal(whole, torch.cat(halves))
    turned = answer(network, seeds[::-1], x.flip(0))
    assert torch.equal(whole, turned.flip(0))
    assert not torch.equal(whole, answer(network, [seed + 100 for seed in seeds], x))


def test_the_global_generator_is_neither_read_nor_moved():
    network, x = noisy(), torch.randn(3, 5)
    torch.manual_seed(0)
    first = answer(network, [1, 2, 3], x)
    before = torch.random.get_rng_state()
    second = answer(network, [1, 2, 3], x)
    assert torch.equal(first, second)
    assert torch.equal(before, torch.random.get_rng_state())


def test_without_seeds_the_global_generator_is_used():
    network, x = noisy(), torch.ones(64, 5)
    torch.manual_seed(1)
    first = answer(network, None, x)
    torch.manual_seed(1)
    assert torch.equal(first, answer(network, None, x))
    assert not torch.equal(first, network(x))


def test_places_and_calls_draw_different_numbers():
    x = torch.ones(200, 1)
    two = nn.ModuleList([DropPath(0.5), DropPath(0.5)]).train()
    set_sample_seeds(two, range(200))
    one, other, again = two[0](x), two[1](x), two[0](x, site=1)
    assert 0.3 < float((one == other).float().mean()) < 0.7
    assert 0.3 < float((one == again).float().mean()) < 0.7


@pytest.mark.parametrize("rate", [0.1, 0.6])
def test_rates_and_means_are_kept(rate):
    x = torch.ones(3000, 4)
    for module in (DropPath(rate), Dropout(rate)):
        module.train()
        kept = answer(module, range(3000), x)
        assert float((kept == 0).float().mean()) == pytest.approx(rate, abs=0.03)
        assert float(kept.mean()) == pytest.approx(1.0, abs=0.06)


def test_recomputed_activations_drop_the_same():
    network = noisy()
    set_sample_seeds(network, range(8))
    x = torch.randn(8, 6, requires_grad=True)
    (plain,) = torch.autograd.grad((network(x) ** 2).sum(), x)
    (again,) = torch.autograd.grad((checkpoint(network, x, use_reentrant=False) ** 2).sum(), x)
    assert torch.equal(plain, again)


def test_nothing_is_dropped_in_evaluation():
    network, x = noisy().eval(), torch.randn(3, 4)
    assert torch.equal(answer(network, [1, 2, 3], x), x)


def test_seeds_of_another_batch_are_refused():
    with pytest.raises(ValueError, match="3 samples, the batch has 2"):
        answer(noisy(), [1, 2, 3], torch.ones(2, 4))
