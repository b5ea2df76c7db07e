import math

import pytest
import torch

from modelscope_vitadapter.network.deformable_attention import (
    MultiScaleDeformableAttention,
    level_sizes,
    multi_scale_deformable_attention,
    reference_points,
)


def sample(maps, x, y):
    """Bilinear value of `maps` `(height, width, D)` at `(x, y)` in [0, 1]; zero outside."""
    height, width, _ = maps.shape
    column, row = x * width - 0.5, y * height - 0.5
    left, top = math.floor(column), math.floor(row)
    total = torch.zeros_like(maps[0, 0])
    for j, part_y in ((top, top + 1 - row), (top + 1, row - top)):
        for i, part_x in ((left, left + 1 - column), (left + 1, column - left)):
            if 0 <= j < height and 0 <= i < width:
                total = total + maps[j, i] * (part_x * part_y)
    return total


def direct_loop(value, shapes, locations, weights):
    batch, _, heads, dim = value.shape
    _, queries, _, levels, points, _ = locations.shape
    output = torch.zeros(batch, queries, heads, dim, dtype=value.dtype)
    for b in range(batch):
        for m in range(heads):
            start = 0
            for level in range(levels):
                height, width = shapes[level]
                maps = value[b, start : start + height * width, m].view(height, width, dim)
                start += height * width
                for q in range(queries):
                    for p in range(points):
                        x, y = locations[b, q, m, level, p].tolist()
                        output[b, q, m] += weights[b, q, m, level, p] * sample(maps, x, y)
    return output.flatten(2)


def random_arguments(shapes, *, batch=2, queries=3, heads=2, points=2, dim=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    tokens = sum(height * width for height, width in shapes)
    value = torch.randn(batch, tokens, heads, dim, dtype=torch.float64, generator=generator)
    size = (batch, queries, heads, len(shapes), points)
    locations = torch.rand(*size, 2, dtype=torch.float64, generator=generator) * 1.6 - 0.3
    weights = torch.rand(size, dtype=torch.float64, generator=generator)
    weights = weights / weights.sum((-1, -2), keepdim=True)
    return value, shapes, locations, weights


@pytest.mark.parametrize("shapes", [[(3, 5)], [(4, 2), (1, 1)], [(5, 3), (2, 4), (1, 3)]])
def test_equals_a_direct_loop(shapes):
    arguments = random_arguments(shapes)
    outside = (arguments[2] < 0) | (arguments[2] > 1)
    assert outside.any()
    torch.testing.assert_close(
        multi_scale_deformable_attention(*arguments), direct_loop(*arguments), rtol=0, atol=1e-12
    )


def test_far_outside_is_zero():
    value, shapes, locations, weights = random_arguments([(3, 3)])
    output = multi_scale_deformable_attention(value, shapes, locations * 0 + 2.0, weights)
    assert torch.equal(output, torch.zeros_like(output))


def test_gradcheck():
    value, shapes, locations, weights = random_arguments(
        [(3, 2), (2, 2)], batch=1, queries=2, heads=2, points=1, dim=2, seed=1
    )
    inputs = [x.requires_grad_() for x in (value, locations, weights)]
    assert torch.autograd.gradcheck(
        lambda v, at, w: multi_scale_deformable_attention(v, shapes, at, w), inputs
    )


def test_reference_points_are_the_centres_of_all_cells():
    points = reference_points([(2, 3), (1, 1)], device="cpu")
    assert points.shape == (1, 7, 1, 2)
    expected = [(x, y) for y in (1 / 4, 3 / 4) for x in (1 / 6, 3 / 6, 5 / 6)] + [(0.5, 0.5)]
    torch.testing.assert_close(points[0, :, 0], torch.tensor(expected))


def test_level_sizes_are_width_and_height():
    sizes = level_sizes([(2, 3), (5, 1)], device="cpu")
    assert sizes.dtype == torch.float32
    assert sizes.tolist() == [[3.0, 2.0], [1.0, 5.0]]


def module(**options):
    torch.manual_seed(0)
    settings = {"embed_dim": 8, "num_heads": 2, "num_levels": 2, "num_points": 3} | options
    attention = MultiScaleDeformableAttention(**settings)
    attention.reset_parameters()
    return attention


def test_module_starts_with_points_in_spread_directions():
    bias = module(num_heads=4).sampling_offsets.bias.view(4, 2, 3, 2)
    directions = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    for point in range(3):
        for level in range(2):
            torch.testing.assert_close(bias[:, level, point], directions * (point + 1))


def test_diagonal_directions_reach_the_same_distance_along_their_longer_axis():
    bias = module(embed_dim=16, num_heads=8, num_points=1, num_levels=1).sampling_offsets.bias
    torch.testing.assert_close(bias.view(8, 2)[1], torch.tensor([1.0, 1.0]))


def test_module_starts_with_equal_weights_and_no_dependence_on_the_query():
    attention = module()
    assert not attention.sampling_offsets.weight.any()
    assert not attention.attention_weights.weight.any()
    assert not attention.attention_weights.bias.any()
    assert not attention.value_proj.bias.any()
    assert not attention.output_proj.bias.any()
    bound = math.sqrt(6 / 16)  # Xavier's uniform one for 8 to 8 channels
    assert 0.9 * bound < attention.value_proj.weight.abs().max() <= bound


def test_module_equals_its_formula():
    attention = module()
    shapes = [(3, 4), (2, 1)]
    query, value = torch.randn(2, 5, 8), torch.randn(2, 14, 8)
    points = torch.rand(1, 5, 1, 2)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.5)

    offsets = attention.sampling_offsets(query).view(2, 5, 2, 2, 3, 2)
    weights = attention.attention_weights(query).view(2, 5, 2, 6).softmax(-1).view(2, 5, 2, 2, 3)
    cells = torch.tensor([[4.0, 3.0], [1.0, 2.0]])
    locations = points.view(1, 5, 1, 1, 1, 2) + offsets / cells.view(1, 1, 1, 2, 1, 2)
    attended = direct_loop(
        attention.value_proj(value).view(2, 14, 2, 4), shapes, locations, weights
    )
    torch.testing.assert_close(
        attention(query, value, points, shapes),
        attention.output_proj(attended),
        rtol=1e-4,
        atol=1e-5,
    )


def test_value_dim_narrows_the_values_only():
    attention = module(value_dim=4)
    assert attention.value_proj.out_features == 4
    assert attention.output_proj.in_features == 4
    output = attention(
        torch.randn(1, 6, 8), torch.randn(1, 8, 8), torch.rand(1, 6, 1, 2), [(2, 2)] * 2
    )
    assert output.shape == (1, 6, 8)


@pytest.mark.parametrize("options", [{"num_heads": 3}, {"value_dim": 5}])
def test_heads_must_divide_the_widths(options):
    with pytest.raises(ValueError, match="do not divide"):
        module(**options)


def test_sampling_stays_exact_in_autocast():
    attention = module()
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    query, value = torch.randn(1, 6, 8), torch.randn(1, 8, 8)
    arguments = (torch.rand(1, 6, 1, 2), [(2, 2)] * 2)
    offsets = []
    attention.sampling_offsets.register_forward_hook(lambda _m, _i, output: offsets.append(output))
    exact = attention(query, value, *arguments)
    with torch.autocast("cpu", torch.bfloat16):
        reduced = attention(query, value, *arguments)
    assert offsets[1].dtype == torch.float32
    assert torch.equal(offsets[0], offsets[1])
    torch.testing.assert_close(reduced.float(), exact, rtol=0.05, atol=0.1)


def test_dropout_is_for_training_only():
    attention = module(dropout=0.5)
    arguments = (torch.randn(1, 6, 8), torch.randn(1, 8, 8), torch.rand(1, 6, 1, 2), [(2, 2)] * 2)
    attention.eval()
    assert torch.equal(attention(*arguments), attention(*arguments))
    attention.train()
    assert (attention(*arguments) == 0).any()
