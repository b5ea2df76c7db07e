import pytest
import torch

from modelscope_vitadapter.network.seeded_dropout import DropPath, drop_path


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_zeroes_whole_samples_and_keeps_the_mean(probability):
    torch.manual_seed(0)
    x = torch.ones(20000, 2, 3)
    dropped = drop_path(x, probability)
    per_sample = dropped.flatten(1)
    assert (per_sample == per_sample[:, :1]).all()
    assert set(per_sample[:, 0].tolist()) == {
        0.0,
        float(torch.tensor(1.0) / (1.0 - probability)),
    }
    assert float((per_sample[:, 0] == 0).float().mean()) == pytest.approx(probability, abs=0.02)
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.06)


def test_certain_drop_is_zero():
    assert torch.equal(drop_path(torch.ones(2, 3), 1.0), torch.zeros(2, 3))


def test_identity_in_evaluation_and_at_rate_zero():
    x = torch.randn(3, 4)
    assert DropPath(0.9).eval()(x) is x
    assert DropPath(0.0).train()(x) is x


def test_shows_its_rate():
    assert repr(DropPath(0.25)) == "DropPath(probability=0.25)"
