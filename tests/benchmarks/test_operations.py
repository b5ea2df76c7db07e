import pytest
import torch

from benchmarks.model_files import model_config
from benchmarks.operations import ATTENTION, CONVOLUTION, LINEAR, count_operations
from benchmarks.rates import best_rates, floor_seconds
from tests.support.configs import WIDTH, tiny_config

TOKENS = 1 + 4 * 4


def total(counts):
    return {kind: sum(shapes.values()) for kind, shapes in counts.items()}


def test_full_size_window():
    counted = total(count_operations(model_config("full"), (896, 896)))
    assert sum(counted.values()) == pytest.approx(7.3e12, rel=0.03)
    backbone_attention = 24 * 4 * 16 * 3137**2 * 64
    assert backbone_attention < counted[ATTENTION] < 1.05 * backbone_attention


def test_kinds_of_a_tiny_window():
    counts = count_operations(tiny_config(), (64, 64))
    blocks = 4
    assert counts[ATTENTION][2, TOKENS, TOKENS, WIDTH // 2] == (
        blocks * 4 * 2 * TOKENS**2 * WIDTH // 2
    )
    assert counts[LINEAR][TOKENS, WIDTH, 3 * WIDTH] == blocks * 2 * TOKENS * WIDTH * 3 * WIDTH
    assert counts[LINEAR][6, WIDTH, 8] > 0, "the mask embedding of six queries"
    assert all(len(shape) == 7 for shape in counts[CONVOLUTION])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rates_of_every_kind(dtype):
    counts = count_operations(tiny_config(), (64, 64))
    rates = best_rates(counts, dtype)
    assert set(rates) == {LINEAR, CONVOLUTION, ATTENTION}
    for one in rates.values():
        assert one["rate"] == max(one["tried"].values()) > 0
        assert one["way"] in one["tried"]
    floors = floor_seconds(counts, rates)
    assert floors[LINEAR] == pytest.approx(total(counts)[LINEAR] / rates[LINEAR]["rate"])
