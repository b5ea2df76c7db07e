import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from modelscope_vitadapter.inference.interpolation import (
    interpolate,
    interpolation_weights,
    sum_in_bags,
    sum_of_gathers,
)
from tests.support.networks import random_image

SIDES = st.integers(1, 40)


def resized(values, size):
    """`(h, w, K)` to `(H, W, K)` as PyTorch does it."""
    turned = values.permute(2, 0, 1)[None]
    turned = F.interpolate(turned, size, mode="bilinear", align_corners=False)
    return turned[0].permute(1, 2, 0)


def weights(source, size):
    return [
        interpolation_weights(torch.arange(to), of, to) for of, to in zip(source, size, strict=True)
    ]


@settings(max_examples=150, deadline=None)
@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES))
def test_all_pixels_equal_pytorchs(source, size):
    values = random_image(*source, 3)
    rows, columns = weights(source, size)
    found = interpolate(values, rows.view(-1, 1), columns.view(1, -1))
    torch.testing.assert_close(found, resized(values, size), rtol=0, atol=1e-5)
    if source == size:
        assert torch.equal(found, values)


@pytest.mark.parametrize(
    ("source", "size"), [((64, 96), (300, 451)), ((896, 32), (1500, 7)), ((32, 896), (9, 1371))]
)
def test_pixels_are_as_close_to_the_exact_ones_as_pytorchs(source, size):
    values = torch.rand(*source, 2, generator=torch.Generator().manual_seed(0))
    rows, columns = weights(source, size)
    found = interpolate(values, rows.view(-1, 1), columns.view(1, -1))
    exact = resized(values.double(), size)
    noise = float((resized(values, size) - exact).abs().max())
    assert float((found - exact).abs().max()) < max(1e-6, 2 * noise)


def test_both_ways_to_sum_agree():
    table = random_image(50, 7)
    index = torch.randint(0, 50, (20, 4), generator=torch.Generator().manual_seed(1))
    share = random_image(20, 4)
    torch.testing.assert_close(
        sum_in_bags(table, index, share), sum_of_gathers(table, index, share)
    )
