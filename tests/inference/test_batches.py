import pytest
import torch

from modelscope_vitadapter.config.model_config import parse_model
from modelscope_vitadapter.inference import batches
from modelscope_vitadapter.inference.batches import (
    CPU_PIXELS,
    MAX_BATCH,
    automatic_batch_size,
    run_in_batches,
)
from tests.support.configs import tiny_config
from tests.support.networks import random_image

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
PIXEL_BYTES = 5 * 1024


@pytest.fixture
def room(monkeypatch):
    """The batch size of a window size, on a device with some free memory."""
    changes = {"model.backbone.embed_dim": 1024, "model.decode_head.in_channels": [1024] * 4}
    settings = parse_model(tiny_config(changes))

    def answer(size, device, free=2**40):
        monkeypatch.setattr(batches, "free_memory", lambda device: free)
        return automatic_batch_size(device, settings)(size)

    return answer


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((896, 896), 1),
        ((897, 10), 8),
        ((640, 640), 1),
        ((448, 896), 2),
        ((448, 448), 4),
        ((448, 449), 3),  # padding counts
    ],
)
def test_on_a_cpu_a_batch_is_about_one_large_window(room, size, expected):
    assert room(size, CPU) == expected
    assert expected == MAX_BATCH or size[0] * (size[1] + 31) * (expected + 1) > CPU_PIXELS


@pytest.mark.parametrize(
    ("free", "expected"),
    [(2**40, MAX_BATCH), (80 * 2**30, 8), (24 * 2**30, 3), (2**30, 1), (0, 1), (None, 1)],
)
def test_on_a_gpu_as_many_as_fit_into_half_of_the_free_memory(room, free, expected):
    assert room((896, 896), CUDA, free) == expected


def test_on_a_cpu_fewer_where_memory_is_short(room):
    assert room((224, 224), CPU, 2 * 224 * 224 * PIXEL_BYTES * 3) == 3


def test_how_much_is_free_is_asked_once_for_each_size(monkeypatch):
    asked = []
    monkeypatch.setattr(batches, "free_memory", lambda device: asked.append(device) or 2**40)
    batch_size = automatic_batch_size(CUDA, parse_model(tiny_config()))
    assert [batch_size(size) for size in ((64, 64), (64, 64), (32, 64))] == [MAX_BATCH] * 3
    assert asked == [CUDA, CUDA]


class Runs:
    """A network that notes its batches; its answer names the window."""

    def __init__(self):
        self.shapes = []

    def __call__(self, batch):
        self.shapes.append(tuple(batch.shape))
        total = batch.sum(dim=(1, 2, 3))
        return total[:, None, None], total.view(-1, 1, 1, 1) * 2


SIZES = [(8, 8), (8, 8), (8, 8), (5, 8), (5, 8), (8, 8), (1, 1)]


@pytest.mark.parametrize(
    ("batch_size", "counts"),
    [(1, [1] * 7), (2, [2, 1, 2, 1, 1]), (3, [3, 2, 1, 1]), (100, [3, 2, 1, 1])],
)
def test_windows_of_one_size_in_a_row_go_together(batch_size, counts):
    jobs = [(i, random_image(3, *size, seed=i)) for i, size in enumerate(SIZES)]
    run = Runs()
    answers = list(run_in_batches(run, iter(jobs), lambda size: batch_size))
    assert [owner for owner, _, _ in answers] == list(range(len(SIZES)))
    for (_, window), (_, classes, masks) in zip(jobs, answers, strict=True):
        torch.testing.assert_close(classes, window.sum().view(1, 1))
        torch.testing.assert_close(masks, 2 * window.sum().view(1, 1, 1))
    assert [shape[0] for shape in run.shapes] == counts


def test_a_window_is_taken_only_when_there_is_room():
    taken, run = [], Runs()

    def jobs():
        for i in range(5):
            taken.append(i)
            yield i, torch.zeros(3, 4, 4)

    answers = run_in_batches(run, jobs(), lambda size: 2)
    assert taken == []
    next(answers)
    assert (taken, len(run.shapes)) == ([0, 1], 1)
    next(answers)
    assert (taken, len(run.shapes)) == ([0, 1], 1)
    next(answers)
    assert (taken, len(run.shapes)) == ([0, 1, 2, 3], 2)


def test_nothing_to_run():
    assert list(run_in_batches(Runs(), [], lambda size: 4)) == []
