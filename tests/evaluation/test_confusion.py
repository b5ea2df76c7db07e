import numpy as np
import pytest

from modelscope_vitadapter.datasets.label_ids import IGNORED
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.evaluation import confusion
from modelscope_vitadapter.evaluation.confusion import ConfusionMatrix, worst_confusions


def brute_force(prediction, truth, num_classes):
    counts = np.zeros((num_classes, num_classes), np.int64)
    for p, t in zip(prediction.ravel(), truth.ravel(), strict=True):
        if t != IGNORED:
            counts[t, p] += 1
    return counts


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_counts_by_true_and_predicted_class(dtype, monkeypatch):
    monkeypatch.setattr(confusion, "CHUNK_PIXELS", 7)
    rng = np.random.default_rng(0)
    matrix = ConfusionMatrix(4)
    expected = np.zeros((4, 4), np.int64)
    for size in ((5, 6), (1, 1), (3, 9)):
        prediction = rng.integers(0, 4, size).astype(dtype)
        truth = rng.integers(-1, 4, size).astype(np.int16)
        matrix.update(prediction, truth)
        expected += brute_force(prediction, truth, 4)
    assert matrix.counts.dtype == np.int64
    np.testing.assert_array_equal(matrix.counts, expected)


def test_many_classes_do_not_overflow():
    matrix = ConfusionMatrix(300)
    matrix.update(np.full((1, 2), 299, np.int16), np.full((1, 2), 299, np.int16))
    assert matrix.counts[299, 299] == 2


def test_ignored_pixels_may_hold_any_prediction():
    matrix = ConfusionMatrix(2)
    matrix.update(np.array([[99, 1]]), np.array([[IGNORED, 1]], np.int16))
    assert matrix.counts.tolist() == [[0, 0], [0, 1]]


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
    assert matrix.counts.sum() == 0


def test_matrices_add_up():
    first, second = ConfusionMatrix(2, np.array([[1, 2], [3, 4]])), ConfusionMatrix(2)
    second.update(np.array([[1]]), np.array([[0]]))
    first.merge(second)
    assert first.counts.tolist() == [[1, 3], [3, 4]]
    with pytest.raises(DataSetError, match="2 and 3 classes"):
        first.merge(ConfusionMatrix(3))
    with pytest.raises(DataSetError, match="shape"):
        ConfusionMatrix(3, first.counts)


def test_worst_confusions_come_first():
    counts = np.array([[50, 3, 0], [0, 10, 9], [1, 0, 7]])
    found = [(one.truth, one.prediction, one.pixels) for one in worst_confusions(counts)]
    assert found == [(1, 2, 9), (0, 1, 3), (2, 0, 1)]
    assert worst_confusions(counts, 1)[0].share == 9 / 19
    assert worst_confusions(np.diag([1, 2])) == []
