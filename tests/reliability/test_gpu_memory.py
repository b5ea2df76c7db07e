"""A device whose memory is not enough for a batch. None is needed: a network refuses batches."""

import weakref

import numpy as np
import pytest
import torch

from modelscope_vitadapter.inference.batches import run_in_batches
from modelscope_vitadapter.inference.memory import is_out_of_memory
from tests.reliability import workers
from tests.reliability.workers import PICTURES, class_map

CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.20 GiB.")


class Small:
    """A network that takes at most `most` windows at a time."""

    def __init__(self, most, error=CUDA):
        self.most, self.error = most, error
        self.tried, self.held = [], []

    def __call__(self, batch):
        self.tried.append(len(batch))
        assert [one for one in self.held if one() is not None] == []
        if len(batch) > self.most:
            taken = batch + 1
            self.held.append(weakref.ref(taken))
            raise type(self.error)(str(self.error))  # nobody else holds it
        total = batch.sum(dim=(1, 2, 3))
        return total[:, None, None], total.view(-1, 1, 1, 1)


def windows(count):
    return [(i, torch.full((3, 4, 4), float(i))) for i in range(count)]


@pytest.mark.parametrize(
    ("most", "tried"),
    [
        (8, [8, 8, 3]),
        (7, [8, 4, 4, 4, 4, 3]),
        (4, [8, 4, 4, 4, 4, 3]),
        (3, [8, 4, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1]),
        (1, [8, 4, 2, *[1] * 19]),
    ],
)
def test_half_as_many_windows_are_tried(most, tried, caplog):
    network = Small(most)
    found = list(run_in_batches(network, iter(windows(19)), lambda size: 8))
    assert [owner for owner, _, _ in found] == list(range(19))
    assert [float(classes) for _, classes, _ in found] == [48.0 * i for i in range(19)]
    assert network.tried == tried
    assert len(caplog.records) == len(network.held)


@pytest.mark.parametrize(
    "error",
    [
        CUDA,
        RuntimeError("MPS backend out of memory (MPS allocated: 5.00 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
    ],
    ids=lambda error: str(error)[:20],
)
def test_a_single_window_that_does_not_fit(error):
    network = Small(0, error)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        list(run_in_batches(network, iter(windows(3)), lambda size: 2))
    assert network.tried == [2, 1]
    message = str(caught.value)
    assert "single window of 4 x 4 pixels" in message
    assert "torch_dtype='bfloat16'" in message
    assert str(error) in message
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_other_errors_are_raised_as_they_are():
    error = RuntimeError("CUDA error: device-side assert triggered")
    network = Small(1, error)
    with pytest.raises(RuntimeError) as caught:
        list(run_in_batches(network, iter(windows(3)), lambda size: 2))
    assert str(caught.value) == str(error)
    assert type(caught.value) is RuntimeError
    assert network.tried == [2]
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize("most", [1, 2, 3])
def test_the_pipeline_gives_the_same_masks(wanted, most):
    segmentor = workers.build(window_batch_size=8)
    tried = []

    def refuse(_module, inputs):
        tried.append(len(inputs[0]))
        if len(inputs[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")

    segmentor.model.model.register_forward_pre_hook(refuse)
    results = segmentor(PICTURES, output="class_map")
    assert max(tried) > most >= tried[-1]
    for result, one in zip(results, wanted, strict=True):
        assert np.array_equal(result["class_map"], one)


def test_the_pipeline_works_on_after_giving_up(wanted):
    segmentor = workers.build()

    def refuse(_module, _inputs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    handle = segmentor.model.model.register_forward_pre_hook(refuse)
    with pytest.raises(torch.OutOfMemoryError, match="single window"):
        segmentor(PICTURES, on_error="skip")
    handle.remove()
    assert np.array_equal(class_map(segmentor, PICTURES[0]), wanted[0])
