import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelscope_vitadapter.errors import ImageError
from modelscope_vitadapter.images.arrays import array_to_bgr

KINDS = ("?", "u1", "i1", "i2", ">u2", "i4", "u8", "f2", "f4", ">f4", "f8")


@st.composite
def arrays(draw):
    """`(H, W)` or `(H, W, C)`, any kind of number and strides, some beyond 8 bits."""
    kind = np.dtype(draw(st.sampled_from(KINDS)))
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    shape += draw(st.sampled_from([(), (1,), (3,), (4,)]))
    low, high = draw(st.sampled_from([(0, 255), (-300, 600)]))
    if kind.kind in "iu":
        low, high = max(low, int(np.iinfo(kind).min)), min(high, int(np.iinfo(kind).max))
    elements = st.booleans() if kind.kind == "b" else st.integers(low, high)
    if kind.kind == "f":
        elements = st.integers(2 * low, 2 * high).map(lambda number: number / 2)
    array = draw(hnp.arrays(kind, shape, elements=elements))
    step = draw(st.sampled_from([1, -1]))
    return draw(st.sampled_from([np.asfortranarray, np.ascontiguousarray]))(array)[::step, ::step]


@given(array=arrays())
def test_arrays_become_bgr_where_their_values_are_8_bits(array):
    before = array.copy()
    channels = array if array.ndim == 3 else array[:, :, None]
    expected = np.repeat(channels[:, :, :1], 3, 2) if channels.shape[2] == 1 else channels[:, :, :3]
    if array.dtype.kind == "b":
        expected = expected * 255
    elif expected.min() < 0 or expected.max() > 255:
        with pytest.raises(ImageError, match=r"^a holds values from .* to .*scale it first"):
            array_to_bgr(array, "a")
        return
    result = array_to_bgr(array, "a")
    assert result.dtype == (np.float32 if array.dtype.kind == "f" else np.uint8)
    assert np.array_equal(result, expected)
    assert type(result) is np.ndarray
    assert result.flags.c_contiguous
    assert result.flags.writeable
    result[:] = 1
    assert np.array_equal(array, before)


def test_bad_values_in_the_dropped_alpha_do_not_matter():
    array = np.dstack([np.ones((2, 2, 3)), np.full((2, 2), np.nan)])
    assert np.array_equal(array_to_bgr(array, "a"), np.ones((2, 2, 3)))


def test_floats_up_to_one_are_warned_about(caplog):
    with caplog.at_level(logging.WARNING, "modelscope.vitadapter"):
        array_to_bgr(np.zeros((2, 2, 3)), "a")
        array_to_bgr(np.full((2, 2, 3), 1.5), "a")
        assert not caplog.records
        array_to_bgr(np.full((2, 2, 3), 0.5), "a")
    assert "pass value_range=(0, 1) if 1 is white" in caplog.text
