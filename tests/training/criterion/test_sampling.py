import pytest
import torch

from modelscope_vitadapter.training.criterion import sampling
from modelscope_vitadapter.training.criterion.sampling import sample_maps, sample_masks


def pixel_centres(height, width):
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([(x + 0.5) / width, (y + 0.5) / height], dim=-1).flatten(0, 1)


def test_at_pixel_centres_a_map_has_its_pixels():
    maps = torch.rand(3, 5, 7)
    assert torch.allclose(sample_maps(maps, pixel_centres(5, 7)), maps.flatten(1), atol=1e-5)


def test_between_pixels_and_beyond_the_border():
    maps = torch.tensor([[[1.0, 3.0], [5.0, 7.0]]])
    points = torch.tensor([[0.5, 0.25], [0.25, 0.5], [0.5, 0.5], [0.0, 0.25], [1.0, 1.0]])
    assert sample_maps(maps, points)[0].tolist() == pytest.approx([2.0, 3.0, 4.0, 0.5, 1.75])


def test_own_points_are_the_shared_ones_of_each_map():
    maps, points = torch.rand(3, 5, 7), torch.rand(3, 11, 2)
    expected = torch.stack([sample_maps(maps[i : i + 1], points[i])[0] for i in range(3)])
    assert torch.allclose(sample_maps(maps, points), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(9, 2), (5, 9, 2)])
def test_masks_a_few_at_a_time_are_the_same(monkeypatch, shape):
    masks, points = torch.rand(5, 6, 4) > 0.5, torch.rand(shape)
    expected = sample_maps(masks.float(), points)
    seen = []

    def sample(maps, points):
        seen.append(len(maps))
        return sample_maps(maps, points)

    monkeypatch.setattr(sampling, "sample_maps", sample)
    monkeypatch.setattr(sampling, "PIXELS_AT_ONCE", 2 * 6 * 4)
    assert torch.equal(sample_masks(masks, points), expected)
    assert seen == [2, 2, 1]
