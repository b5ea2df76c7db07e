import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelscope_vitadapter.errors import ImageError
from modelscope_vitadapter.images.arrays import array_to_bgr

KINDS = ("?", "u1", "i1", "i2", ">u2", "i4", "u8", "f2", "f4", ">f4", "f8")
SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 5), st.sampled_from([0, 1, 3, 4]))


@st.composite
def arrays(draw, low=0, high=255):
    """`(H, W)` or `(H, W, C)`, of any kind of number and any strides, values from `low` to
    `high`."""
    kind = np.dtype(draw(st.sampled_from(KINDS)))
    height, width, channels = draw(SHAPES)
    if kind.kind == "b":
        elements = st.booleans()
    elif kind.kind == "f":
        elements = st.integers(4 * low, 4 * high).map(lambda number: number / 4)
    else:
        info = np.iinfo(kind)
        elements = st.integers(max(low, int(info.min)), min(high, int(info.max)))
    shape = (height, width, channels) if channels else (height, width)
    array = draw(hnp.arrays(kind, shape, elements=elements))
    step = draw(st.sampled_from([1, -1]))
    return draw(st.sampled_from([np.asfortranarray, np.ascontiguousarray]))(array)[::step, ::step]


@given(array=arrays())
def test_arrays_become_bgr(array):
    before = array.copy()
    channels = array if array.ndim == 3 else array[:, :, None]
    expected = np.repeat(channels[:, :, :1], 3, 2) if channels.shape[2] == 1 else channels[:, :, :3]
    result = array_to_bgr(array)
    assert result.dtype == (np.float32 if array.dtype.kind == "f" else np.uint8)
    assert np.array_equal(result, expected * (255 if array.dtype.kind == "b" else 1))
    assert type(result) is np.ndarray
    assert result.flags.c_contiguous
    assert result.flags.writeable
    result[:] = 1
    assert np.array_equal(array, before)


@given(array=arrays(low=-300, high=600))
def test_values_beyond_8_bits_are_refused(array):
    pixels = array[:, :, :3] if array.ndim == 3 else array
    if pixels.min() >= 0 and (pixels.max() <= 255 or array.dtype.kind == "b"):
        assert array_to_bgr(array).shape == (*array.shape[:2], 3)
    else:
        with pytest.raises(ImageError, match=r"holds values from .* to .*scale it first"):
            array_to_bgr(array)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((5, 5, 0), np.uint8), "is empty"),
        (np.uint8(7), "no image"),
        (np.zeros(12, np.uint8), "as bytes"),
        (np.zeros((1, 8, 9, 3), np.uint8), "batch as a list"),
        (np.full((2, 2, 3), -np.inf), "infinite"),
        (np.full((2, 2), 2**63, np.uint64), "scale it first"),
        (np.zeros((2, 2), "M8[s]"), "elements of type"),
        (np.zeros((2, 2), [("r", "u1")]), "elements of type"),
    ],
)
def test_what_is_no_image_is_refused(array, words):
    with pytest.raises(ImageError, match=f"^the photo .*{words}") as caught:
        array_to_bgr(array, "the photo")
    assert "(H, W, 3)" in str(caught.value)


def test_bad_values_in_the_dropped_alpha_do_not_matter():
    array = np.dstack([np.ones((2, 2, 3)), np.full((2, 2), np.nan)])
    assert np.array_equal(array_to_bgr(array), np.ones((2, 2, 3)))


def test_floats_up_to_one_are_warned_about(caplog):
    with caplog.at_level(logging.WARNING, "modelscope.vitadapter"):
        array_to_bgr(np.zeros((2, 2, 3)))
        array_to_bgr(np.full((2, 2, 3), 1.5))
        assert not caplog.records
        array_to_bgr(np.full((2, 2, 3), 0.5))
    assert "multiply by 255" in caplog.text
