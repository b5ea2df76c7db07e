import math

import torch

from modelscope_vitadapter.network.deformable_attention import (
    MultiScaleDeformableAttention,
    multi_scale_deformable_attention,
)


def test_far_outside_of_its_maps_is_zero():
    value, shapes = torch.randn(1, 9 + 4, 2, 3), [(3, 3), (2, 2)]
    weights = torch.full((1, 5, 2, 2, 1), 0.5)
    at = torch.full((1, 5, 2, 2, 1, 2), 0.5)
    inside, outside = (
        multi_scale_deformable_attention(value, shapes, place, weights) for place in (at, at + 2)
    )
    assert not outside.any()
    centres = (value[:, 4] + value[:, 9:].mean(1)).flatten(1) / 2
    torch.testing.assert_close(inside, centres[:, None].expand(1, 5, 6))


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
