from pathlib import Path

import numpy as np
import pytest

from modelscope_vitadapter.datasets.label_ids import LabelIds
from modelscope_vitadapter.evaluation.confusion import ConfusionMatrix
from modelscope_vitadapter.evaluation.figures import figures

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics" / "ten_classes.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as stored:
        return dict(stored)


def test_figures_equal_those_of_mmsegmentation_to_the_last_digit(golden):
    matrix = ConfusionMatrix(int(golden["num_classes"]))
    for number in range(4):
        truth, wrong = LabelIds().to_classes(golden[f"gt{number}"], matrix.num_classes)
        assert wrong is None
        matrix.update(golden[f"pred{number}"], truth)
    found = figures(matrix.counts)
    for name in ("aAcc", "mIoU", "mAcc"):
        assert getattr(found, name) == float(golden[name])
    for name in ("IoU", "Acc"):
        np.testing.assert_array_equal(getattr(found, name), golden[name])


def test_ignored_pixels_are_in_no_figure(golden):
    assert any((golden[f"gt{number}"] == 255).any() for number in range(4))


def test_classes_without_pixels_are_in_no_mean():
    found = figures(np.array([[6, 2, 0], [0, 2, 0], [0, 0, 0]]))
    assert found.IoU[:2].tolist() == [0.75, 0.5]
    assert np.isnan(found.IoU[2])
    assert found.mIoU == 0.625
    assert found.aAcc == 0.8


def test_no_pixels_at_all_give_nan_without_a_warning(recwarn):
    found = figures(np.zeros((2, 2), np.int64))
    assert np.isnan([found.aAcc, found.mIoU, found.mAcc]).all()
    assert len(recwarn) == 0
