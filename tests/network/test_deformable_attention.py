import math

import pytest
import torch

from modelscope_vitadapter.network.deformable_attention import (
    MultiScaleDeformableAttention,
    multi_scale_deformable_attention,
    reference_points,
)


def sample(maps, x, y):
    """Bilinear value of a map `(h, w, D)` at `(x, y)` in [0, 1]; zero outside."""
    height, width, dim = maps.shape
    at_x, at_y = x * width - 0.5, y * height - 0.5
    value = torch.zeros(dim, dtype=maps.dtype)
    for row in (math.floor(at_y), math.floor(at_y) + 1):
        for column in (math.floor(at_x), math.floor(at_x) + 1):
            if 0 <= row < height and 0 <= column < width:
                weight = (1 - abs(at_y - row)) * (1 - abs(at_x - column))
                value += weight * maps[row, column]
    return value


def direct_loop(value, shapes, locations, weights):
    """Equation 3 of the paper, sample by sample."""
    output = torch.zeros(*locations.shape[:3], value.shape[-1], dtype=value.dtype)
    starts = [0]
    for height, width in shapes:
        starts.append(starts[-1] + height * width)
    for b, q, m, level, p in torch.cartesian_prod(*map(torch.arange, weights.shape)).tolist():
        height, width = shapes[level]
        maps = value[b, starts[level] : starts[level + 1], m].view(height, width, -1)
        at = locations[b, q, m, level, p].tolist()
        output[b, q, m] += weights[b, q, m, level, p] * sample(maps, *at)
    return output.flatten(2)


def random_arguments(shapes, *, batch=2, queries=3, heads=2, points=2, dim=3):
    generator = torch.Generator().manual_seed(0)
    double = {"dtype": torch.float64, "generator": generator}
    value = torch.randn(batch, sum(h * w for h, w in shapes), heads, dim, **double)
    size = (batch, queries, heads, len(shapes), points)
    locations = torch.rand(*size, 2, **double) * 1.6 - 0.3  # some are outside
    weights = torch.rand(size, **double)
    return value, shapes, locations, weights / weights.sum((-1, -2), keepdim=True)


@pytest.mark.parametrize("shapes", [[(3, 5)], [(4, 2), (1, 1)], [(5, 3), (2, 4), (1, 3)]])
def test_equals_a_direct_loop(shapes):
    arguments = random_arguments(shapes)
    found = multi_scale_deformable_attention(*arguments)
    torch.testing.assert_close(found, direct_loop(*arguments), rtol=0, atol=1e-12)
    value, _, locations, weights = arguments
    far = multi_scale_deformable_attention(value, shapes, locations * 0 + 2.0, weights)
    assert not far.any()


def test_gradients():
    value, shapes, locations, weights = random_arguments(
        [(3, 2), (2, 2)], batch=1, queries=2, points=1, dim=2
    )
    inputs = [x.requires_grad_() for x in (value, locations, weights)]
    assert torch.autograd.gradcheck(
        lambda v, at, w: multi_scale_deformable_attention(v, shapes, at, w), inputs
    )


def test_reference_points_are_the_centres_of_all_cells():
    points = reference_points([(2, 3), (1, 1)], device="cpu")
    expected = [(x, y) for y in (1 / 4, 3 / 4) for x in (1 / 6, 3 / 6, 5 / 6)] + [(0.5, 0.5)]
    torch.testing.assert_close(points, torch.tensor(expected)[None, :, None])


def test_the_module_starts_with_points_in_spread_directions_and_equal_weights():
    attention = MultiScaleDeformableAttention(
        embed_dim=16, num_heads=8, num_levels=2, num_points=3, value_dim=8
    )
    attention.reset_parameters()
    bias = attention.sampling_offsets.bias.view(8, 2, 3, 2)
    directions = torch.tensor([[1.0, 0], [1, 1], [0, 1], [-1, 1], [-1, 0], [-1, -1], [0, -1]])
    for point in range(3):
        for level in range(2):
            torch.testing.assert_close(bias[:7, level, point], directions * (point + 1))
    zeros = (attention.sampling_offsets.weight, *attention.attention_weights.parameters())
    assert not any(parameter.any() for parameter in zeros)
    bound = math.sqrt(6 / (16 + 8))  # Xavier's uniform one
    assert 0.9 * bound < attention.value_proj.weight.abs().max() <= bound
