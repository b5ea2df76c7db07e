import pytest
import torch

from modelscope_vitadapter.config.criterion import PointSettings
from modelscope_vitadapter.training.losses import SeededPoints, sample_maps, uncertain_points

RAMP = torch.linspace(-4, 4, 16).expand(2, 16, 16).contiguous()
SETTINGS = PointSettings(num_points=200, oversample_ratio=3.0, importance_sample_ratio=0.75)


def test_maps_are_sampled_at_points_of_all_or_of_each():
    maps, points = torch.rand(3, 6, 4) > 0.5, torch.rand(3, 9, 2)
    centres = torch.tensor([[0.125, 0.25], [0.875, 11 / 12]])  # of row 1, column 0; row 5, column 3
    assert torch.allclose(sample_maps(maps, centres), maps[:, [1, 5], [0, 3]].float(), atol=1e-6)
    each = torch.cat([sample_maps(maps[i : i + 1], points[i]) for i in range(3)])
    assert torch.allclose(sample_maps(maps, points), each, atol=1e-6)


def test_a_samples_points_depend_on_nothing_but_its_seed_layer_and_purpose():
    alone, among = SeededPoints([5], "cpu"), SeededPoints([9, 2**63 + 1, 5], "cpu")
    torch.manual_seed(1)
    first = alone.for_matching(2, 0, 30), alone.for_loss(2, 0, RAMP, SETTINGS)
    among.for_matching(0, 1, 30)  # what was drawn before changes nothing, nor does torch's state
    torch.manual_seed(2)
    second = among.for_matching(2, 2, 30), among.for_loss(2, 2, RAMP, SETTINGS)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    plain = PointSettings(30, 1.0, 0.0)
    others = [among.for_matching(layer, image, 30) for layer in (0, 1) for image in (0, 1)]
    others += [*among.for_loss(0, 0, RAMP, plain), *among.for_loss(1, 0, RAMP, plain)]
    assert len({tuple(one.flatten().tolist()) for one in others}) == len(others)


def test_the_most_uncertain_of_the_drawn_points_are_taken():
    points = uncertain_points(RAMP, SETTINGS, torch.Generator().manual_seed(0))
    assert points.shape == (2, 200, 2)
    distance = sample_maps(RAMP, points).abs()
    candidates = torch.rand(2, 600, 2, generator=torch.Generator().manual_seed(0))
    everywhere = sample_maps(RAMP, candidates).abs().sort(dim=1).values
    assert torch.equal(distance[:, :150].sort(dim=1).values, everywhere[:, :150])
    assert distance[:, 150:].mean() > 2 * distance[:, :150].mean()  # the rest is anywhere
    assert not torch.equal(points[0], points[1])


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_all_or_none_can_be_chosen_by_uncertainty(ratio):
    settings = PointSettings(50, 4.0, ratio)
    points = uncertain_points(RAMP, settings, torch.Generator().manual_seed(0))
    assert points.shape == (2, 50, 2)
    assert (sample_maps(RAMP, points).abs().max() < 1.5) == (ratio == 1.0)
