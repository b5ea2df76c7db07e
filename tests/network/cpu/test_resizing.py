import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from modelscope_vitadapter.network.cpu.bands import bands
from modelscope_vitadapter.network.cpu.resizing import resize_band, resize_tokens
from tests.support.networks import random_image as noise

shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))

# Positions are computed in 24 bits and lie below 2 ** 4; between neighbours values differ by a few.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def interpolated(tokens, shape, size):
    maps = tokens.view(1, *shape, -1).permute(0, 3, 1, 2)
    maps = F.interpolate(maps.contiguous(), size, mode="bilinear", align_corners=False)
    return maps[0].flatten(1).t()


@given(shapes, shapes, st.integers(1, 5))
def test_equals_interpolation(shape, size, channels):
    tokens = noise(shape[0] * shape[1], channels)
    found = resize_tokens(tokens, shape, size)
    torch.testing.assert_close(found, interpolated(tokens, shape, size), **TOLERANCE)


@given(shapes, shapes, st.integers(1, 5), st.integers(1, 12))
def test_bands_are_parts_of_the_whole(shape, size, channels, height):
    tokens = noise(shape[0] * shape[1], channels)
    parts = [resize_band(tokens, shape, size, rows) for rows in bands(size[0], height)]
    torch.testing.assert_close(torch.cat(parts), interpolated(tokens, shape, size), **TOLERANCE)


@pytest.mark.parametrize("factor", [2, 4])
def test_bands_of_large_maps(factor):
    shape = (56, 40)
    size = (56 * factor, 40 * factor)
    tokens = noise(shape[0] * shape[1], 2)
    parts = [resize_band(tokens, shape, size, rows) for rows in bands(size[0], 14)]
    torch.testing.assert_close(torch.cat(parts), interpolated(tokens, shape, size), **TOLERANCE)


def test_the_same_size_is_not_copied():
    tokens = noise(12, 3)
    assert resize_tokens(tokens, (3, 4), (3, 4)) is tokens


def test_turned_sizes_are_not_the_same():
    tokens = noise(12, 3)
    found = resize_tokens(tokens, (3, 4), (4, 3))
    torch.testing.assert_close(found, interpolated(tokens, (3, 4), (4, 3)), **TOLERANCE)


def test_a_band_is_memory_of_its_own():
    tokens = noise(12, 3)
    before = tokens.clone()
    resize_band(tokens, (3, 4), (3, 4), slice(0, 3)).zero_()
    assert torch.equal(tokens, before)
