import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from modelscope_vitadapter.inference.resampling import (
    bilinear_taps,
    sample,
    sum_in_bags,
    sum_of_gathers,
)
from tests.support.networks import random_image

SIDES = st.integers(1, 40)


def resized(values, size, align_corners):
    """`(h, w, K)` to `(H, W, K)` as PyTorch does it."""
    turned = values.permute(2, 0, 1)[None]
    turned = F.interpolate(turned, size, mode="bilinear", align_corners=align_corners)
    return turned[0].permute(1, 2, 0)


def taps(source, size, align_corners):
    return [
        bilinear_taps(torch.arange(to), of, to, align_corners=align_corners)
        for of, to in zip(source, size, strict=True)
    ]


@settings(max_examples=150, deadline=None)
@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.booleans())
def test_all_pixels_equal_interpolate(source, size, align_corners):
    values = random_image(*source, 3)
    rows, columns = taps(source, size, align_corners)
    found = sample(values, rows.view(-1, 1), columns.view(1, -1))
    expected = resized(values, size, align_corners)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    ("source", "size"),
    [((64, 96), (300, 451)), ((64, 96), (31, 40)), ((896, 32), (1500, 7)), ((32, 896), (9, 1371))],
)
def test_pixels_are_as_close_to_the_exact_ones_as_interpolate(source, size, align_corners):
    values = torch.rand(*source, 2, generator=torch.Generator().manual_seed(0))
    rows, columns = taps(source, size, align_corners)
    found = sample(values, rows.view(-1, 1), columns.view(1, -1))
    expected = resized(values.double(), size, align_corners)
    whole = resized(values, size, align_corners)
    bound = max(1e-6, 2 * float((whole - expected).abs().max()))  # float32's own noise
    assert float((found - expected).abs().max()) < bound


def test_some_pixels_in_any_order():
    values = random_image(9, 11, 4)
    rows, columns = taps((9, 11), (30, 23), False)
    y, x = torch.tensor([29, 0, 17, 17]), torch.tensor([0, 22, 5, 6])
    found = sample(values, rows.at(y), columns.at(x))
    assert found.shape == (4, 4)
    torch.testing.assert_close(found, resized(values, (30, 23), False)[y, x])


def test_equal_sizes_are_exact():
    values = random_image(9, 11, 4)
    rows, columns = taps((9, 11), (9, 11), False)
    assert torch.equal(sample(values, rows.view(-1, 1), columns.view(1, -1)), values)


def test_the_first_rows_of_the_source_may_be_cut_off():
    values = random_image(20, 11, 4)
    rows, columns = taps((20, 11), (50, 11), False)
    last = rows.at(torch.arange(30, 50))
    origin = int(last.low[0])
    assert origin > 5
    found = sample(
        values[origin:].contiguous(), last.minus(origin).view(-1, 1), columns.view(1, -1)
    )
    torch.testing.assert_close(found, resized(values, (50, 11), False)[30:])


def test_both_ways_to_sum_agree():
    table = random_image(50, 7)
    index = torch.randint(0, 50, (20, 4), generator=torch.Generator().manual_seed(1))
    weight = random_image(20, 4)
    torch.testing.assert_close(
        sum_in_bags(table, index, weight), sum_of_gathers(table, index, weight)
    )
