import mmcv
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelscope_vitadapter.errors import ImageError
from modelscope_vitadapter.images.steps import Flip, Normalize, Pad, Resize, ResizeToMultiple

IMAGE = np.random.default_rng(6).integers(0, 256, (7, 10, 3)).astype(np.uint8)

sides = st.integers(1, 20_000)
sizes = st.tuples(sides, sides)
small_sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))
boxes = st.tuples(st.integers(1, 5_000), st.integers(1, 5_000))

STEPS = st.one_of(
    st.builds(Resize, st.tuples(st.integers(1, 60), st.integers(1, 60)), st.booleans()),
    st.builds(Resize, st.floats(0.01, 3), st.booleans()),
    st.builds(ResizeToMultiple, st.tuples(st.integers(1, 40), st.integers(1, 40))),
    st.builds(Flip, st.sampled_from(["horizontal", "vertical"])),
    st.builds(Pad, size=small_sizes),
    st.builds(Pad, divisor=st.integers(1, 40)),
    st.just(Pad(square=True)),
    st.just(Normalize((1, 2, 3), (4, 5, 6))),
)


@settings(deadline=None)
@given(size=sizes, box=boxes)
def test_keep_ratio_rounds_as_mmcv_does_but_keeps_a_pixel(size, box):
    width, height = mmcv.rescale_size((size[1], size[0]), (box[1], box[0]))
    assert Resize(box).output_size(size) == (max(height, 1), max(width, 1))


@settings(deadline=None)
@given(size=sizes, box=boxes)
def test_keep_ratio_fills_the_box_without_leaving_it(size, box):
    result = Resize(box).output_size(size)
    assert max(result) <= max(box)
    assert min(result) <= min(box)
    assert max(result) == max(box) or min(result) == min(box)
    assert (size[0] <= size[1]) == (result[0] <= result[1]) or result[0] == result[1]


@settings(deadline=None)
@given(size=sizes)
def test_the_hubs_geometry_is_a_multiple_of_32_with_a_side_of_896_at_most(size):
    result = ResizeToMultiple().output_size(Resize((896, 3584)).output_size(size))
    assert result[0] % 32 == 0
    assert result[1] % 32 == 0
    assert 32 <= min(result) <= 896
    assert max(result) <= 3584


@settings(deadline=None)
@given(size=sizes, factor=st.floats(0.001, 4), keep_ratio=st.booleans())
def test_a_factor_scales_both_sides_and_leaves_at_least_one_pixel(size, factor, keep_ratio):
    result = Resize(factor, keep_ratio).output_size(size)
    for side, new_side in zip(size, result, strict=True):
        assert 1 <= new_side <= max(side * factor, 1)
    if not keep_ratio:
        assert result == tuple(max(int(side * factor), 1) for side in size)


@settings(deadline=None)
@given(size=sizes, divisor=st.tuples(st.integers(1, 100), st.integers(1, 100)))
def test_multiples_are_the_next_above(size, divisor):
    for side, d, new_side in zip(
        size, divisor, ResizeToMultiple(divisor).output_size(size), strict=True
    ):
        assert new_side % d == 0
        assert 0 <= new_side - side < d


@settings(max_examples=300, deadline=None)
@given(size=small_sizes, step=STEPS, floats=st.booleans())
def test_the_size_of_a_result_is_what_was_foretold(size, step, floats):
    image = np.full((*size, 3), 7, np.float32 if floats else np.uint8)
    before = image.copy()
    result = step(image)
    assert result.shape == (*step.output_size(size), 3)
    assert result.flags.c_contiguous
    assert np.array_equal(image, before)
    assert result.dtype == (np.float32 if isinstance(step, Normalize) else image.dtype)


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (3, 1), (1, 4), (4, 1), (2, 2)])
@pytest.mark.parametrize("to_rgb", [True, False])
def test_normalize_is_per_channel_at_every_size(size, to_rgb):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    expected = ((image[:, :, ::-1] if to_rgb else image) - np.array(mean)) / np.array(std)
    assert np.allclose(Normalize(mean, std, to_rgb)(image), expected, atol=1e-6)


def test_flips():
    assert np.array_equal(Flip("horizontal")(IMAGE), IMAGE[:, ::-1])
    assert np.array_equal(Flip("vertical")(IMAGE), IMAGE[::-1])


def test_padding_is_below_and_to_the_right():
    result = Pad(size=(9, 8), value=(1.0, 2.0, 3.0))(IMAGE)
    assert result.shape == (9, 10, 3)
    assert np.array_equal(result[:7], IMAGE)
    assert (result[7:] == (1, 2, 3)).all()


def test_a_strip_that_rounds_to_nothing_keeps_a_pixel():
    image = np.full((1, 10_000, 3), 200, np.uint8)
    assert mmcv.rescale_size((10_000, 1), (3584, 896)) == (3584, 0)
    assert Resize((896, 3584))(image).shape == (1, 3584, 3)
    assert Resize(0.1)(image).shape == (1, 1000, 3)


def test_floats_are_resized_as_floats():
    image = np.array([[0, 1]], np.float32)[:, :, None].repeat(3, axis=2) / 4
    assert np.allclose(Resize((1, 4), keep_ratio=False)(image)[0, :, 0] * 4, [0, 0.25, 0.75, 1])


def test_pillow_resizes_uint8_only():
    step = Resize((5, 5), backend="pillow")
    assert step(IMAGE).dtype == np.uint8
    with pytest.raises(ImageError, match="'pillow', which takes uint8 only"):
        step(IMAGE.astype(np.float32))
