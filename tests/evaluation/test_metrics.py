from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelscope_vitadapter.evaluation.confusion import ConfusionMatrix, worst_confusions

from modelscope_vitadapter.datasets.label_ids import IGNORED, LabelIds
from modelscope_vitadapter.datasets.label_maps import ids_to_classes
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.evaluation import confusion
from modelscope_vitadapter.evaluation.metrics import metrics

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


def naive_metrics(pixels, num_classes):
    """Counts, aAcc and IoU by class out of `(true, predicted)` of each pixel."""
    known = [(true, predicted) for true, predicted in pixels if true != IGNORED]
    every = range(num_classes)
    counts = [[known.count((true, predicted)) for predicted in every] for true in every]
    right = sum(true == predicted for true, predicted in known)
    ious = []
    for k in every:
        union = sum(k in pair for pair in known)
        ious.append(known.count((k, k)) / union if union else None)
    return counts, right / len(known) if known else None, ious


@settings(max_examples=60)
@given(data=st.data(), num_classes=st.sampled_from([1, 3, 300]), images=st.integers(1, 3))
def test_counts_and_metrics_equal_naive_ones(data, num_classes, images):
    ids = st.integers(0, num_classes - 1)
    matrix, pixels = ConfusionMatrix(num_classes), []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(confusion, "CHUNK_PIXELS", 7)
        for _ in range(images):
            size = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
            pairs = st.lists(
                st.tuples(ids | st.just(IGNORED), ids),
                min_size=size[0] * size[1],
                max_size=size[0] * size[1],
            )
            drawn = data.draw(pairs)
            truth, predicted = np.array(drawn).T.reshape(2, *size)
            matrix.update(predicted.astype(data.draw(st.sampled_from([np.uint16, int]))), truth)
            pixels += drawn
    counts, overall, ious = naive_metrics(pixels, num_classes)
    assert matrix.counts.tolist() == counts
    found = metrics(matrix.counts)
    known = [one for one in ious if one is not None]
    assert found.aAcc == pytest.approx(np.nan if overall is None else overall, nan_ok=True)
    assert found.mIoU == pytest.approx(np.mean(known) if known else np.nan, nan_ok=True)
    assert [None if np.isnan(one) else float(one) for one in found.IoU] == ious


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
