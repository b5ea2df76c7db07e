import pytest
import torch

from modelscope_vitadapter.config.criterion import PointSettings
from modelscope_vitadapter.training.criterion.points import SeededPoints, uncertain_points
from modelscope_vitadapter.training.criterion.sampling import sample_maps

SETTINGS = PointSettings(num_points=200, oversample_ratio=3.0, importance_sample_ratio=0.75)
LOGITS = torch.linspace(-4, 4, 16).expand(2, 16, 16).contiguous()


def drawn(settings, logits=LOGITS):
    return uncertain_points(logits, settings, torch.Generator().manual_seed(0))


def test_a_samples_points_depend_on_nothing_but_its_seed_layer_and_purpose():
    alone, among = SeededPoints([5], "cpu"), SeededPoints([9, 2**63 + 1, 5], "cpu")
    torch.manual_seed(1)
    first = alone.for_matching(2, 0, 30), alone.for_loss(2, 0, LOGITS, SETTINGS)
    among.for_matching(0, 1, 30)  # what was drawn before changes nothing, nor does torch's state
    torch.manual_seed(2)
    second = among.for_matching(2, 2, 30), among.for_loss(2, 2, LOGITS, SETTINGS)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_other_samples_layers_and_purposes_have_other_points():
    points = SeededPoints([5, 6], "cpu")
    plain = PointSettings(30, 1.0, 0.0)
    sets = [
        points.for_matching(0, 0, 30),
        points.for_matching(1, 0, 30),
        points.for_matching(0, 1, 30),
        *points.for_loss(0, 0, LOGITS, plain),
        *points.for_loss(1, 0, LOGITS, plain),
    ]
    assert len({tuple(one.flatten().tolist()) for one in sets}) == len(sets)


def test_points_spread_over_the_whole_map():
    points = SeededPoints([5], "cpu").for_matching(0, 0, 4000)
    assert 0 <= points.min() < 0.01
    assert 0.99 < points.max() <= 1
    assert points.mean(dim=0).tolist() == pytest.approx([0.5, 0.5], abs=0.03)


def test_the_most_uncertain_of_the_drawn_points_are_taken():
    points = drawn(SETTINGS)
    assert points.shape == (2, 200, 2)
    distance = sample_maps(LOGITS, points).abs()
    candidates = torch.rand(2, 600, 2, generator=torch.Generator().manual_seed(0))
    everywhere = sample_maps(LOGITS, candidates).abs().sort(dim=1).values
    assert torch.equal(distance[:, :150].sort(dim=1).values, everywhere[:, :150])
    assert distance[:, 150:].mean() > 2 * distance[:, :150].mean()  # the rest is anywhere
    assert not torch.equal(points[0], points[1])


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_all_or_none_can_be_chosen_by_uncertainty(ratio):
    points = drawn(PointSettings(50, 4.0, ratio))
    assert points.shape == (2, 50, 2)
    assert (sample_maps(LOGITS, points).abs().max() < 1.5) == (ratio == 1.0)
