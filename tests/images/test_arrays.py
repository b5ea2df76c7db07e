import logging

import numpy as np
import pytest

from modelscope_vitadapter.errors import ImageError, ImageTypeError
from modelscope_vitadapter.images.arrays import array_to_bgr

RNG = np.random.default_rng(0)
BGR = RNG.integers(0, 256, (5, 7, 3)).astype(np.uint8)
GREY = BGR[:, :, 0]
GREY_BGR = np.stack([GREY] * 3, axis=2)
BGRA = np.dstack([BGR, GREY])


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (BGR, BGR),
        (GREY, GREY_BGR),
        (GREY[:, :, None], GREY_BGR),
        (BGRA, BGR),
        (read_only(BGR), BGR),
        (np.asfortranarray(BGR), BGR),
        (BGR[::-1, ::-1], BGR[::-1, ::-1]),
        (BGR[:, ::2], BGR[:, ::2]),
        (BGR[:, :, ::-1], BGR[:, :, ::-1]),
        (GREY > 100, 255 * (GREY_BGR > 100)),
        (BGR > 100, 255 * (BGR > 100)),
        *[(BGR.astype(kind), BGR) for kind in ("i2", "u2", ">u2", "i4", "u8", "i8")],
        (GREY.view(np.matrix), GREY_BGR),
    ],
)
def test_integers_become_uint8(array, expected):
    result = array_to_bgr(array)
    assert result.dtype == np.uint8
    assert type(result) is np.ndarray
    assert np.array_equal(result, expected)


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", ">f4", "g"])
def test_floats_stay_floats(kind):
    array = (BGR / 2).astype(kind)
    result = array_to_bgr(array)
    assert result.dtype == np.float32
    assert np.array_equal(result, array.astype(np.float32))


def test_the_result_is_an_independent_writable_copy():
    for array in (BGR.copy(), BGR.astype(np.float32), BGRA.copy(), GREY.copy(), BGR[::-1]):
        before = array.copy()
        result = array_to_bgr(array)
        assert result.flags.c_contiguous
        assert result.flags.writeable
        result[:] = 1
        assert np.array_equal(array, before)


NAN, INFINITE, NEGATIVE, BRIGHT = (np.full((2, 2, 3), v, np.float32) for v in (9, 9, 9, 9))
NAN[1, 1, 1], INFINITE[0, 0, 0], NEGATIVE[0, 0, 2], BRIGHT[1, 0, 0] = np.nan, np.inf, -0.5, 255.5


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((0, 5, 3), np.uint8), "is empty"),
        (np.zeros((5, 0), np.uint8), "is empty"),
        (np.zeros((5, 5, 0), np.uint8), "is empty"),
        (np.array([]), "is empty"),
        (np.uint8(7), "no image"),
        (np.zeros(12, np.uint8), "as bytes"),
        (np.zeros(12), "no image"),
        (np.zeros((4, 4, 2), np.uint8), r"shape \(4, 4, 2\)"),
        (np.zeros((4, 4, 5), np.uint8), r"shape \(4, 4, 5\)"),
        (np.zeros((3, 8, 9), np.uint8), "channels seem to come first"),
        (np.zeros((1, 8, 9, 3), np.uint8), "batch as a list"),
        (np.zeros((1, 1, 8, 9, 3), np.uint8), "no image"),
        (NAN, "NaN"),
        (INFINITE, "infinite"),
        (-INFINITE, "infinite"),
        (NEGATIVE, r"values from -0.5 to 9"),
        (BRIGHT, r"values from 9.0 to 255.5"),
        (np.full((2, 2), 4095, np.uint16), "4095.*scale it first"),
        (np.full((2, 2), -1, np.int8), "values from -1 to -1"),
        (np.full((2, 2), 2**63, np.uint64), "scale it first"),
    ],
)
def test_values_and_shapes_of_no_image_are_refused(array, words):
    with pytest.raises(ImageError, match=words) as caught:
        array_to_bgr(array)
    assert not isinstance(caught.value, TypeError)
    assert "(H, W, 3)" in str(caught.value)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2, 3), complex),
        np.array([["a", "b"]]),
        np.array([[None, 1]], dtype=object),
        np.zeros((2, 2), "M8[s]"),
        np.zeros((2, 2), [("r", "u1")]),
        np.array([[b"a"]]),
    ],
)
def test_elements_that_are_no_real_numbers_are_refused(array):
    with pytest.raises(ImageTypeError, match="elements of type"):
        array_to_bgr(array)


def test_bad_values_in_the_dropped_alpha_do_not_matter():
    array = np.dstack([BGR.astype(np.float32), np.full(GREY.shape, np.nan)])
    assert np.array_equal(array_to_bgr(array), BGR.astype(np.float32))


def test_floats_up_to_one_are_warned_about(caplog):
    with caplog.at_level(logging.WARNING, "modelscope.vitadapter"):
        array_to_bgr(np.zeros((2, 2, 3)))
        array_to_bgr(np.full((2, 2, 3), 1.5))
        assert not caplog.records
        result = array_to_bgr(np.full((2, 2, 3), 0.5))
    assert "multiply by 255" in caplog.text
    assert result.max() == 0.5


def test_the_given_name_is_used():
    with pytest.raises(ImageError, match=r"^picture 7 is empty"):
        array_to_bgr(np.zeros((0, 1)), "picture 7")
