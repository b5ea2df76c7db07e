from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelscope_vitadapter.inference.windows import (
    Window,
    score_images,
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


def local_score(batch):
    """Scores that depend on the pixel and on its place in the window."""
    _, _, height, width = batch.shape
    row = torch.arange(height).view(1, 1, height, 1)
    column = torch.arange(width).view(1, 1, 1, width)
    return torch.cat((batch[:, :1] * 2, batch[:, 1:2] + row, batch[:, 2:] - 3 * column), dim=1)


def builtin_average(image, crop, stride):
    """Sum of the padded windows over their count, as the built-in model writes it."""
    total, count = torch.zeros(image.shape), torch.zeros(image.shape[-2:])
    for top, bottom in builtin_spans(image.shape[-2], crop[0], stride[0]):
        for left, right in builtin_spans(image.shape[-1], crop[1], stride[1]):
            part = local_score(image[None, :, top:bottom, left:right])[0]
            total[:, top:bottom, left:right] += part
            count[top:bottom, left:right] += 1
    return total / count


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.integers(1, 5),
)
def test_overlaps_are_averaged(size, crop, stride, batch_size):
    stride = tuple(min(s, c) for s, c in zip(stride, crop, strict=True))
    image = random_image(3, *size)
    (found,) = score_images(local_score, [image], crop=crop, stride=stride, batch_size=batch_size)
    torch.testing.assert_close(found, builtin_average(image, crop, stride))


SIZES = [(8, 8), (8, 13), (5, 8), (5, 20), (21, 9), (8, 8), (1, 1)]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
def test_batches_across_images_equal_one_at_a_time(batch_size):
    images = [random_image(3, *size, seed=i) for i, size in enumerate(SIZES)]
    calls = []

    def score(batch):
        calls.append(tuple(batch.shape))
        return local_score(batch)

    options = {"crop": (8, 8), "stride": (4, 5)}
    together = list(score_images(score, images, **options, batch_size=batch_size))
    alone = [next(score_images(local_score, [image], **options)) for image in images]
    assert len(together) == len(images)
    for found, expected in zip(together, alone, strict=True):
        torch.testing.assert_close(found, expected)
    assert max(shape[0] for shape in calls) <= batch_size
    windows = sum(len(windows_of(size, (8, 8), (4, 5))) for size in SIZES)
    assert sum(shape[0] for shape in calls) == windows
    if batch_size > 2:
        assert len(calls) < windows


def test_whole_images():
    images = [random_image(3, 5, 9), random_image(3, 40, 2)]
    found = list(score_images(local_score, images, crop=None, stride=None, batch_size=4))
    for scores, image in zip(found, images, strict=True):
        torch.testing.assert_close(scores, local_score(image[None])[0])


def test_an_image_is_given_as_soon_as_it_is_done():
    images = [random_image(3, 4, 4, seed=i) for i in range(3)]
    seen = []

    def score(batch):
        seen.append(len(batch))
        return local_score(batch)

    results = score_images(score, images, crop=(4, 4), stride=(4, 4))
    next(results)
    assert seen == [1]


def test_images_are_left_alone():
    image = random_image(3, 9, 9)
    before = image.clone()
    list(score_images(local_score, [image], crop=(4, 4), stride=(3, 3)))
    assert torch.equal(image, before)


def test_no_images():
    assert list(score_images(local_score, [], crop=(4, 4), stride=(4, 4))) == []
