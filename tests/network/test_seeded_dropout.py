import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from modelscope_vitadapter.network.seeded_dropout import DropPath, mixed, set_sample_seeds


def dropping():
    """Three drop paths, as an example of a network."""
    return nn.Sequential(*(DropPath(0.5) for _ in range(3))).train()


def answer(network, seeds, x):
    set_sample_seeds(network, seeds)
    return network(x)


def test_mixed_numbers_look_uniform_and_tell_orders_apart():
    values = torch.tensor([mixed(seed, 3) / 2**64 for seed in range(4000)])
    assert float(values.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(values.var()) == pytest.approx(1 / 12, abs=0.005)
    assert len({mixed(1, 2), mixed(2, 1), mixed(1), mixed(1, 0)}) == 4


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("seeds", [None, range(4000)])
def test_whole_samples_are_zeroed_and_the_mean_stays(rate, seeds):
    torch.manual_seed(0)
    samples = answer(DropPath(rate).train(), seeds, torch.ones(4000, 2, 3)).flatten(1)
    assert (samples == samples[:, :1]).all()
    assert float((samples == 0).float().mean()) == pytest.approx(rate, abs=0.03)
    assert float(samples.mean()) == pytest.approx(float(rate < 1), abs=0.1)


def test_nothing_is_dropped_in_evaluation_and_at_rate_zero():
    x = torch.randn(3, 4)
    assert DropPath(0.9).eval()(x) is x
    assert DropPath(0.0).train()(x) is x


def test_a_sample_is_dropped_alike_in_any_batch():
    network, x, seeds = dropping(), torch.randn(12, 5, 4), list(range(11, 23))
    whole = answer(network, seeds, x)
    halves = [answer(network, seeds[:5], x[:5]), answer(network, seeds[5:], x[5:])]
    assert torch.equal(whole, torch.cat(halves))
    assert torch.equal(whole, answer(network, seeds[::-1], x.flip(0)).flip(0))
    assert not torch.equal(whole, answer(network, [seed + 100 for seed in seeds], x))


def test_only_without_seeds_is_the_global_generator_used():
    network, x = dropping(), torch.ones(64, 5)
    torch.manual_seed(1)
    first = answer(network, None, x)
    torch.manual_seed(1)
    assert torch.equal(first, answer(network, None, x))
    before = torch.random.get_rng_state()
    assert not torch.equal(first, answer(network, range(64), x))
    assert torch.equal(before, torch.random.get_rng_state())


def test_places_and_calls_draw_different_numbers():
    x = torch.ones(200, 1)
    network = dropping()
    set_sample_seeds(network, range(200))
    one, other, again = network[0](x), network[1](x), network[0](x, site=1)
    assert 0.3 < float((one == other).float().mean()) < 0.7
    assert 0.3 < float((one == again).float().mean()) < 0.7


def test_recomputed_activations_drop_the_same():
    network, x = dropping(), torch.randn(8, 6, requires_grad=True)
    set_sample_seeds(network, range(8))
    (plain,) = torch.autograd.grad((network(x) ** 2).sum(), x)
    (again,) = torch.autograd.grad((checkpoint(network, x, use_reentrant=False) ** 2).sum(), x)
    assert torch.equal(plain, again)


def test_seeds_of_another_batch_are_refused():
    with pytest.raises(ValueError, match="3 samples, the batch has 2"):
        answer(dropping(), [1, 2, 3], torch.ones(2, 4))
