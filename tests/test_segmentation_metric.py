import pickle
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from modelscope.metrics import build_metric
from modelscope.metrics.base import Metric
from modelscope.trainers.utils.inference import merge_metrics, single_gpu_test
from torch.utils.data import DataLoader

from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.evaluation.metrics import ConfusionMatrix, metrics
from modelscope_vitadapter.plugin.registration import METRIC_TYPE

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(-1, 3, (4, 5, 6)).astype(np.int16)
PREDICTION = RNG.integers(0, 3, (4, 5, 6)).astype(np.uint8)


@pytest.fixture(scope="module")
def expected():
    matrix = ConfusionMatrix(3)
    matrix.update(PREDICTION, TRUTH)
    found = metrics(matrix.counts)
    return {"aAcc": found.aAcc, "mIoU": found.mIoU, "mAcc": found.mAcc}


def metric(**options):
    return build_metric({"type": METRIC_TYPE, "num_classes": 3, **options})


@pytest.mark.parametrize(
    ("outputs", "inputs"),
    [
        ({"class_map": PREDICTION}, {"classes": TRUTH}),
        ({"class_maps": list(PREDICTION)}, {"labels": list(TRUTH)}),
        ({"class_map": torch.from_numpy(PREDICTION)}, {"classes": torch.from_numpy(TRUTH)}),
        ([{"class_map": one} for one in PREDICTION], [{"classes": one} for one in TRUTH]),
        ({"class_map": PREDICTION}, SimpleNamespace(classes=TRUTH)),
        ({"class_map": PREDICTION}, {"classes": np.where(TRUTH < 0, 255, TRUTH)}),
    ],
)
def test_batches_of_every_form(outputs, inputs, expected):
    one = metric()
    assert isinstance(one, Metric)
    one.add(outputs, inputs)
    assert one.evaluate() == expected


def test_batches_and_processes_add_up(expected):
    first, second, without_images = metric(), metric(), build_metric(METRIC_TYPE)
    for number in range(4):
        target = first if number % 2 else second
        target.add({"class_map": PREDICTION[number]}, {"classes": TRUTH[number]})
    first.trainer = threading.Lock()  # something that can't be pickled, as a trainer
    for order in ((first, second, without_images), (without_images, first, second)):
        sent = [pickle.loads(pickle.dumps([one])) for one in order]
        (merged,) = merge_metrics(sent)
        assert merged.evaluate() == expected


def test_modelscopes_evaluation_loop_uses_it(expected):
    rows = [
        {"img": torch.from_numpy(PREDICTION[number]), "classes": torch.from_numpy(TRUTH[number])}
        for number in range(4)
    ]
    trainer = SimpleNamespace(evaluation_step=lambda batch: {"class_map": batch["img"]})
    loader = DataLoader(rows, batch_size=3)
    assert single_gpu_test(trainer, loader, "cpu", [metric()]) == expected


def test_the_number_of_classes_is_the_models(expected):
    one = build_metric(METRIC_TYPE)
    model = SimpleNamespace(num_classes=3)
    one.trainer = SimpleNamespace(model=SimpleNamespace(module=model))
    one.add({"class_map": PREDICTION}, {"classes": TRUTH})
    assert one.evaluate() == expected


def test_values_to_ignore_are_given():
    one = metric(ignored=(254, 1))
    one.add({"class_map": np.array([[0, 0, 1]])}, {"classes": np.array([[0, 254, 1]])})
    assert one.matrix.counts.sum() == 2  # a class counts


def test_255_is_a_class_where_there_are_so_many():
    one = metric(num_classes=300)
    one.add({"class_map": np.array([[255]])}, {"classes": np.array([[255]])})
    assert one.evaluate()["aAcc"] == 1.0


@pytest.mark.parametrize(
    ("one", "outputs", "inputs", "says"),
    [
        ({"num_classes": None}, {"class_map": PREDICTION}, {"classes": TRUTH}, "num_classes"),
        ({}, {"masks": PREDICTION}, {"classes": TRUTH}, "class_map"),
        ({}, {"class_map": PREDICTION}, {"img": TRUTH}, "classes"),
        ({}, {"class_map": PREDICTION[:3]}, {"classes": TRUTH}, "3 class maps for a batch of 4"),
    ],
)
def test_what_is_missing_is_said(one, outputs, inputs, says):
    with pytest.raises(DataSetError, match=says):
        metric(**one).add(outputs, inputs)
