from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelscope_vitadapter.datasets.label_ids import IGNORED, LabelIds
from modelscope_vitadapter.datasets.label_maps import ids_to_classes
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.evaluation import metrics as module
from modelscope_vitadapter.evaluation.metrics import ConfusionMatrix, metrics, worst_confusions

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics" / "ten_classes.npz"


def test_metrics_equal_those_of_mmsegmentation_to_the_last_digit():
    with np.load(GOLDEN) as stored:
        golden = dict(stored)
    matrix = ConfusionMatrix(int(golden["num_classes"]))
    for number in range(4):
        assert (golden[f"gt{number}"] == 255).any()  # ignored pixels are in no metric
        truth = ids_to_classes(golden[f"gt{number}"], LabelIds(), matrix.num_classes, "x")
        matrix.update(golden[f"pred{number}"], truth)
    found = metrics(matrix.counts)
    for name in ("aAcc", "mIoU", "mAcc"):
        assert getattr(found, name) == float(golden[name])
    for name in ("IoU", "Acc"):
        np.testing.assert_array_equal(getattr(found, name), golden[name])


@settings(max_examples=60)
@given(
    data=st.data(),
    num_classes=st.sampled_from([1, 3, 300]),
    kind=st.sampled_from([np.uint16, np.int64]),
)
def test_counts_equal_naive_ones(data, num_classes, kind):
    matrix, expected = ConfusionMatrix(num_classes), np.zeros((num_classes, num_classes), int)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "CHUNK_PIXELS", 7)
        for _ in range(data.draw(st.integers(1, 3))):
            size = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
            ids = st.integers(IGNORED, num_classes - 1)
            truth = data.draw(hnp.arrays(np.int16, size, elements=ids))
            predicted = data.draw(hnp.arrays(kind, size, elements=ids.filter(lambda k: k >= 0)))
            matrix.update(predicted, truth)
            known = truth != IGNORED
            np.add.at(expected, (truth[known], predicted[known]), 1)
    assert matrix.counts.tolist() == expected.tolist()


def test_a_class_that_is_nowhere_is_in_no_mean():
    found = metrics(np.array([[2, 1, 0], [0, 3, 0], [0, 0, 0]]))
    np.testing.assert_array_equal(found.IoU, [2 / 3, 3 / 4, np.nan])
    np.testing.assert_array_equal(found.Acc, [2 / 3, 1, np.nan])
    assert (found.aAcc, found.mIoU, found.mAcc) == pytest.approx((5 / 6, 17 / 24, 5 / 6))


def test_no_pixels_at_all_give_nan_without_a_warning(recwarn):
    found = metrics(np.zeros((2, 2), np.int64))
    assert np.isnan([found.aAcc, found.mIoU, found.mAcc]).all()
    assert len(recwarn) == 0


@pytest.mark.parametrize(
    ("prediction", "truth", "says"),
    [
        ([[0, 2]], [[0, 0]], "prediction"),
        ([[0, 0]], [[0, 2]], "label map"),
        ([[0]], [[0, 1]], "shape"),
    ],
)
def test_values_that_are_no_class_are_refused_and_nothing_is_counted(prediction, truth, says):
    matrix = ConfusionMatrix(2)
    with pytest.raises(DataSetError, match=says):
        matrix.update(np.array(prediction), np.array(truth))
    matrix.update(np.array([[99, 1]]), np.array([[IGNORED, 1]]))  # where nothing is known
    assert matrix.counts.tolist() == [[0, 0], [0, 1]]


def test_worst_confusions_come_first():
    counts = np.array([[50, 3, 0], [0, 10, 9], [1, 0, 7]])
    found = [(one.truth, one.prediction, one.pixels) for one in worst_confusions(counts)]
    assert found == [(1, 2, 9), (0, 1, 3), (2, 0, 1)]
    assert worst_confusions(counts, 1)[0].share == 9 / 19
    assert worst_confusions(np.diag([1, 2])) == []
