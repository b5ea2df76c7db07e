import numpy as np
import pytest

from modelscope_vitadapter.inference.results import compact, present_classes


@pytest.mark.parametrize(
    ("num_classes", "dtype"), [(2, np.uint8), (256, np.uint8), (257, np.int32)]
)
def test_compact_takes_the_smallest_type_that_holds_all_classes(num_classes, dtype):
    found = compact(np.array([[num_classes - 1, 0]]), num_classes)
    assert found.dtype == dtype
    assert found.tolist() == [[num_classes - 1, 0]]


@pytest.mark.parametrize(("ignore_id", "dtype"), [(255, np.uint8), (256, np.int32)])
def test_an_ignore_id_fits_into_the_type_whether_a_pixel_has_it(ignore_id, dtype):
    assert compact(np.zeros((1, 2), np.int64), 2, ignore_id).dtype == dtype
    assert compact(np.array([[ignore_id, 0]]), 2, ignore_id).tolist() == [[ignore_id, 0]]


def test_ids_beyond_the_classes_are_no_classes():
    assert present_classes(np.array([[0, 255], [2, 255]]), 3) == [2, 0]
