"""Same input, same masks."""

import numpy as np
import pytest
import torch

from tests.pipeline.cases import CASES, GOLDEN, case_input, expected
from tests.reliability import workers
from tests.reliability.workers import PICTURES, class_map


@pytest.fixture
def threads():
    """Sets the number of threads; the test after has the number from before."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_run_to_run(segmentor):
    options = {"output": "class_map", "confidence": True}
    first = segmentor(PICTURES[5], **options)
    for _ in range(5):
        again = segmentor(PICTURES[5], **options)
        assert np.array_equal(again["class_map"], first["class_map"])
        assert np.array_equal(again["confidence"], first["confidence"])


def test_another_pipeline_of_the_same_model(segmentor, wanted):
    other = workers.build()
    for picture, one in zip(PICTURES, wanted, strict=True):
        assert np.array_equal(class_map(other, picture), one)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(("directory", "name"), CASES)
def test_any_number_of_threads(threads, count, directory, name):
    threads(count)
    segmentor = workers.build(model=GOLDEN / directory)
    found = class_map(segmentor, case_input(directory, name))
    assert np.array_equal(found, expected(directory)[f"{name}/classmap"])


@pytest.mark.parametrize("size", range(1, 9))
def test_any_size_of_batches_alone_or_in_a_list(wanted, size):
    segmentor = workers.build(window_batch_size=size)
    segmentor.model.model.register_forward_hook(lambda *_: None)  # the way of GPUs, in batches
    alone = [class_map(segmentor, picture) for picture in PICTURES]
    for batch_size in (None, size):
        together = segmentor(PICTURES, output="class_map", batch_size=batch_size)
        for one, other, plain in zip(alone, together, wanted, strict=True):
            assert np.array_equal(other["class_map"], one)
            assert np.array_equal(other["class_map"], plain)


@pytest.mark.parametrize("size", [1, 2, 8])
def test_on_a_processor_not_even_the_last_bit_hangs_on_the_batch(segmentor, size):
    options = {"output": "class_map", "confidence": True}
    other = workers.build(window_batch_size=size)
    for one, alone in zip(other(PICTURES, **options), PICTURES, strict=True):
        expected_one = segmentor(alone, **options)
        assert np.array_equal(one["class_map"], expected_one["class_map"])
        assert np.array_equal(one["confidence"], expected_one["confidence"])
