import numpy as np
import pytest

from modelscope_vitadapter.inference.results import compact


@pytest.mark.parametrize(
    ("num_classes", "dtype"), [(2, np.uint8), (256, np.uint8), (257, np.int32)]
)
def test_compact_takes_the_smallest_type_that_holds_all_classes(num_classes, dtype):
    found = compact(np.array([[num_classes - 1, 0]]), num_classes)
    assert found.dtype == dtype
    assert found.tolist() == [[num_classes - 1, 0]]
