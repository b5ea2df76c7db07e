import numpy as np
import pytest

from modelscope_vitadapter.errors import ImageError, ImageMemoryError
from modelscope_vitadapter.inference import memory_needs
from modelscope_vitadapter.inference.memory_needs import (
    check_masks_fit,
    check_picture_fits,
    mask_bytes,
)
from modelscope_vitadapter.inference.results import class_masks

INT64, BOOL, UINT8 = np.dtype("int64"), np.dtype(bool), np.dtype("uint8")


@pytest.fixture
def free(monkeypatch):
    return lambda amount: monkeypatch.setattr(memory_needs, "free_memory", lambda device: amount)


@pytest.mark.parametrize(
    ("dtype", "needed"), [(INT64, 6 * 25), (BOOL, 6 * 3), (UINT8, 6 * 4), (np.dtype("f2"), 6 * 7)]
)
def test_masks_are_refused_from_one_byte_too_few_on(free, dtype, needed):
    assert mask_bytes(6, 3, dtype) == needed
    free(needed)
    check_masks_fit((2, 3), 3, dtype)
    free(needed - 1)
    with pytest.raises(ImageMemoryError, match=f"{needed} bytes as {dtype}, and {needed - 1}"):
        check_masks_fit((2, 3), 3, dtype)


def test_the_remedies_are_those_that_help(free):
    free(0)
    with pytest.raises(ImageMemoryError, match=r"output='class_map'.*mask_dtype=bool \(18 bytes\)"):
        check_masks_fit((2, 3), 3, INT64)
    for dtype in (BOOL, UINT8):
        with pytest.raises(ImageMemoryError, match="output='class_map'") as caught:
            check_masks_fit((2, 3), 3, dtype)
        assert "mask_dtype" not in str(caught.value)


def test_the_estimate_covers_what_the_masks_take():
    masks = class_masks(np.zeros((20, 30), np.int64), [2, 1, 0], INT64)
    assert sum(mask.nbytes for mask in masks) == mask_bytes(600, 3, INT64) - 600


def test_a_picture_is_refused_where_its_class_map_does_not_fit(free):
    free(54)
    check_picture_fits("'a.png'", (2, 3))
    free(53)
    with pytest.raises(ImageMemoryError, match=r"^'a\.png' .*54 bytes.* 53 bytes are free"):
        check_picture_fits("'a.png'", (2, 3))


def test_nothing_is_refused_where_the_free_memory_is_unknown(free):
    free(None)
    check_picture_fits("'a.png'", (10**9, 10**9))
    check_masks_fit((10**9, 10**9), 9, INT64)


def test_the_error_is_what_callers_catch():
    assert issubclass(ImageMemoryError, ImageError)
    assert issubclass(ImageMemoryError, MemoryError)
    assert issubclass(ImageMemoryError, ValueError)
