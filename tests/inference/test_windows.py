from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modelscope_vitadapter.inference.windows import (
    Window,
    window_origins,
    windows_of,
)
from tests.support.networks import random_image


def builtin_spans(length, crop, stride):
    """First and last pixel of each window, as the built-in model's loop has them."""
    count = max(length - crop + stride - 1, 0) // stride + 1
    spans = []
    for i in range(count):
        end = min(i * stride + crop, length)
        spans.append((max(end - crop, 0), end))
    return spans


@given(st.integers(1, 4000), st.integers(1, 1000), st.integers(1, 1000))
def test_origins_equal_the_builtin_formula(length, crop, stride):
    origins = window_origins(length, crop, stride)
    size = min(crop, length)
    assert [(at, at + size) for at in origins] == builtin_spans(length, crop, stride)


@given(st.integers(1, 4000), st.integers(1, 1000), st.integers(1, 1000))
def test_windows_stay_inside_and_reach_both_ends(length, crop, stride):
    origins = window_origins(length, crop, stride)
    size = min(crop, length)
    assert origins[0] == 0
    assert origins[-1] + size == length
    assert all(before < after for before, after in pairwise(origins))
    if stride <= crop:
        covered = {at + i for at in origins for i in range(size)}
        assert len(covered) == length


@pytest.mark.parametrize(
    ("length", "origins"),
    [(896, [0]), (897, [0, 1]), (1408, [0, 512]), (1409, [0, 512, 513]), (800, [0]), (1, [0])],
)
def test_known_origins(length, origins):
    assert window_origins(length, 896, 512) == origins


def test_windows_run_row_by_row():
    windows = windows_of((5, 7), (4, 4), (2, 3))
    assert windows == [
        Window(0, 0, 4, 4),
        Window(0, 3, 4, 4),
        Window(1, 0, 4, 4),
        Window(1, 3, 4, 4),
    ]
    assert windows_of((3, 9), (4, 9), (2, 9)) == [Window(0, 0, 3, 9)]
    assert windows_of((3, 9), None, None) == [Window(0, 0, 3, 9)]


def test_transposed_window():
    image = random_image(3, 9, 7)
    window = Window(2, 3, 5, 4)
    turned = window.transposed().of(image.transpose(1, 2))
    assert torch.equal(turned.transpose(1, 2), window.of(image))
