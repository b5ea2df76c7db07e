import numpy as np
import pytest

from modelscope_vitadapter.inference.results import (
    SCORE,
    class_masks,
    compact,
    present_classes,
)

CLASS_MAP = np.array([[3, 3, 0], [7, 0, 3]])


def test_present_classes_in_descending_order():
    assert present_classes(CLASS_MAP, 10) == [7, 3, 0]
    assert all(type(i) is int for i in present_classes(CLASS_MAP, 10))


def test_present_classes_of_one_pixel():
    assert present_classes(np.array([[4]], dtype=np.uint8), 5) == [4]


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "float32"])
def test_masks_mark_their_class(dtype):
    masks = class_masks(CLASS_MAP, [7, 3, 0], dtype)
    assert [mask.dtype for mask in masks] == [np.dtype(dtype)] * 3
    assert masks[0].tolist() == [[0, 0, 0], [1, 0, 0]]
    assert masks[1].tolist() == [[1, 1, 0], [0, 0, 1]]
    assert (sum(mask.astype(int) for mask in masks) == 1).all()


@pytest.mark.parametrize(
    ("num_classes", "dtype"), [(2, np.uint8), (256, np.uint8), (257, np.int32)]
)
def test_compact_takes_the_smallest_type_that_holds_all_classes(num_classes, dtype):
    found = compact(np.array([[num_classes - 1, 0]]), num_classes)
    assert found.dtype == dtype
    assert found.tolist() == [[num_classes - 1, 0]]


def test_the_placeholder_score_is_the_builtin_models():
    assert SCORE == 0.999
