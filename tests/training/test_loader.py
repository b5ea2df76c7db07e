import itertools
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from modelscope_vitadapter.datasets.reading import read_sample
from modelscope_vitadapter.errors import DataSetError, TrainingError
from modelscope_vitadapter.training.augmentation import Augmentation
from modelscope_vitadapter.training.loader import (
    AugmentedBatches,
    BatchLoader,
    epoch_order,
    sample_seed,
    worker_failures,
)
from modelscope_vitadapter.training.train_config import TrainConfig
from tests.training.drawn_images import CLASSES, DrawnImages, ToldBy

ROOT = Path(__file__).parents[2]
AUGMENTATION = Augmentation((32, 48), (48, 192), TrainConfig())
SEED = 7
PATIENCE = 120
"""Seconds after which a program is taken to hang."""


def loader_of(dataset, **options):
    batches = AugmentedBatches(dataset, AUGMENTATION, num_classes=CLASSES, seed=SEED)
    return BatchLoader(batches, **{"batch_size": 2, **options})


def epochs(dataset, *numbers, **options):
    """All batches of some epochs."""
    with closing(loader_of(dataset, **options)) as loader:
        return [batch for number in numbers for batch in loader.epoch(number)]


def same(first, second):
    return all(torch.equal(*pair) for pair in zip(first[:2], second[:2], strict=True)) and (
        first[2:] == second[2:]
    )


def assert_same(found, expected):
    assert len(found) == len(expected) > 0
    assert all(map(same, found, expected))


def test_seeds_are_the_same_everywhere_and_differ_by_run_epoch_and_sample_as_orders_do():
    assert sample_seed(42, 3, 117) == 1363541694952438644
    keys = list(itertools.product(range(4), range(10), range(50)))
    assert len({sample_seed(*key) for key in keys}) == len(keys)
    orders = {tuple(epoch_order(30, *key)) for key in itertools.product(range(4), range(10))}
    assert len(orders) == 40
    assert {tuple(sorted(order)) for order in orders} == {tuple(range(30))}


def test_a_batch_holds_what_its_seeds_draw():
    dataset, order = DrawnImages(5), epoch_order(5, SEED, 3)
    batches = epochs(dataset, 3)
    assert len(batches) == len(loader_of(dataset)) == 2
    for batch, indices in zip(batches, (order[:2], order[2:4]), strict=True):
        assert (batch.images.dtype, batch.classes.dtype) == (torch.float32, torch.int16)
        assert batch.names == [f"image {index}" for index in indices]
        assert batch.seeds == [sample_seed(SEED, 3, int(index)) for index in indices]
        for row, index in enumerate(indices):
            labelled = read_sample(dataset[index], dataset.label_ids, CLASSES)
            image, classes = AUGMENTATION(labelled, np.random.default_rng(batch.seeds[row]))
            assert np.array_equal(batch.images[row].numpy(), image)
            assert np.array_equal(batch.classes[row].numpy(), classes)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_give_the_same_bits_as_none(workers):
    expected = epochs(DrawnImages(11), 0, 1, 4, 0)
    assert_same(epochs(DrawnImages(11), 0, 1, 4, 0, workers=workers), expected)
    assert not same(expected[0], expected[5])  # another epoch


def test_workers_may_be_spawned():
    expected, before = epochs(DrawnImages(4), 0), multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    try:
        assert_same(epochs(DrawnImages(4), 0, workers=1), expected)
    finally:
        multiprocessing.set_start_method(before, force=True)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("first_batch", [1, 3, 5])
def test_from_the_middle_of_an_epoch_on(workers, first_batch):
    """Nothing before is read, and an iteration that was left may be taken up again."""
    expected, done = epochs(DrawnImages(11), 2), epoch_order(11, SEED, 2)[: 2 * first_batch]
    unread = DrawnImages(11, failing=dict.fromkeys(done.tolist(), AssertionError("read")))
    with closing(loader_of(unread, workers=workers)) as loader:
        for _ in range(2):
            with closing(loader.epoch(2, first_batch)) as begun:
                assert all(map(same, itertools.islice(begun, 1), expected[first_batch:]))
            rest = list(loader.epoch(2, first_batch))
            assert len(rest) == 5 - first_batch
            assert all(map(same, rest, expected[first_batch:]))


def test_workers_live_on_between_epochs_compute_in_one_thread_and_end_with_the_loader():
    others = set(multiprocessing.active_children())
    loader = loader_of(ToldBy(8), workers=2)
    first, second = ({name for batch in loader.epoch(n) for name in batch.names} for n in (0, 1))
    assert first == second
    assert len(first) == len(set(multiprocessing.active_children()) - others) == 2
    assert all(name.split()[0] != str(os.getpid()) for name in first)
    assert {name.split(maxsplit=1)[1] for name in first} <= {"1 1", "1 0"}
    with closing(loader), closing(loader.epoch(2)) as left:
        next(left)
    assert set(multiprocessing.active_children()) <= others


@pytest.mark.parametrize("workers", [0, 1])
def test_slices_of_two_processes_make_up_the_double_batch(workers):
    whole = epochs(DrawnImages(14), 0, 1, batch_size=4)
    datasets = [DrawnImages(14), DrawnImages(14)]
    parts = [
        epochs(one, 0, 1, batch_size=4, processes=2, process=process, workers=workers)
        for process, one in enumerate(datasets)
    ]
    assert len(whole) == 6
    for batch, first, second in zip(whole, *parts, strict=True):
        assert torch.equal(batch.images, torch.cat([first.images, second.images]))
        assert torch.equal(batch.classes, torch.cat([first.classes, second.classes]))
        assert batch.seeds == first.seeds + second.seeds
    if not workers:  # each reads its own only
        assert len(datasets[0].asked) == len(datasets[1].asked) == 12


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("content", [None, b"no image"])
def test_an_unreadable_image_is_named_and_the_others_still_come(tmp_path, workers, content):
    path = tmp_path / "broken.png"
    if content is not None:
        path.write_bytes(content)
    broken = int(epoch_order(9, SEED, 0)[5])
    with closing(loader_of(DrawnImages(9, broken={broken: path}), workers=workers)) as loader:
        with closing(loader.epoch(0)) as batches:
            next(batches), next(batches)
            with pytest.raises(DataSetError, match=r"broken\.png") as caught:
                next(batches)
        assert "Traceback" not in str(caught.value)
        assert isinstance(caught.value, FileNotFoundError) == (content is None)
        assert len(list(loader.epoch(0, 3))) == 1


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (KeyError("no column 'image'"), DataSetError, r"sample 3 .* KeyError: .*no column"),
        (DataSetError("row 3 has no image"), DataSetError, "^row 3 has no image$"),
        (MemoryError("not enough"), MemoryError, "^not enough$"),
    ],
)
def test_what_a_dataset_raises_tells_which_sample(raised, expected, message):
    with pytest.raises(expected, match=message):
        epochs(DrawnImages(4, failing={3: raised}), 0)


@pytest.mark.parametrize("count", [0, 3])
def test_a_dataset_below_one_step_is_refused(count):
    with pytest.raises(DataSetError, match=rf"has {count} sample.*the 4 of one step"):
        loader_of(DrawnImages(count), batch_size=4, processes=2)
    assert len(loader_of(DrawnImages(4), batch_size=4, processes=2)) == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_global_random_numbers_are_neither_used_nor_changed(workers):
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
        found.append(epochs(DrawnImages(4), 0, workers=workers))
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.array_equal(np.random.get_state()[1], before[1])
        assert random.getstate() == before[2]
    assert_same(*found)


class Lost(DrawnImages):
    """Images whose reader goes wrong in one of several ways, in a worker only."""

    def __init__(self, way):
        super().__init__(8)
        self.way, self.trainer = way, os.getpid()

    def __getitem__(self, index):
        if os.getpid() != self.trainer:
            self.way()
        return super().__getitem__(index)


def ends():
    os._exit(3)


def sleeps():
    time.sleep(PATIENCE)


def stands_still():
    os.kill(os.getpid(), signal.SIGSTOP)


def has_no_shared_memory():
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))


@pytest.mark.skipif(sys.platform != "linux", reason="workers end and share in another way")
@pytest.mark.parametrize(
    ("way", "message"),
    [
        (ends, "exited unexpectedly"),
        (has_no_shared_memory, "File too large.*shared memory"),
        (sleeps, "timed out after 2 seconds.*worker_timeout="),
    ],
)
def test_a_lost_worker_ends_the_run_and_tells_what_to_do(way, message):
    with (
        pytest.raises(TrainingError, match=rf"(?s){message}") as caught,
        worker_failures(),
        closing(loader_of(Lost(way), workers=2, timeout=2)) as loader,
    ):
        next(loader.epoch(0))
    assert "--shm-size" in str(caught.value)
    assert "workers=0" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(epochs(Lost(way), 0, timeout=2)) == 4  # without workers there is nothing to lose


@pytest.mark.skipif(sys.platform != "linux", reason="workers end and share in another way")
def test_a_worker_that_stands_still_does_not_keep_the_program_from_ending():
    script = """if True:
        from tests.training.test_loader import *
        with worker_failures():
            next(loader_of(Lost(stands_still), workers=1, timeout=1).epoch(0))
    """
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert "TrainingError: a worker" in done.stderr
    assert "Exception ignored" not in done.stderr


def test_other_errors_stay_what_they_are():
    for error in (RuntimeError("CUDA out of memory"), DataSetError("DataLoader.png is empty")):
        with pytest.raises(type(error), match=str(error)), worker_failures():
            raise error


@pytest.mark.skipif(
    sys.platform == "darwin" or "fork" not in multiprocessing.get_all_start_methods(),
    reason="workers cannot be forked here",
)
def test_workers_forked_from_a_process_with_threads_do_not_hang():
    subprocess.run(
        [sys.executable, "-m", "tests.training.test_loader"],
        cwd=ROOT,
        check=True,
        timeout=PATIENCE,
        env={**os.environ, "OMP_NUM_THREADS": "4"},
    )


if __name__ == "__main__":  # computes in several threads, then forks workers
    multiprocessing.set_start_method("fork")
    torch.set_num_threads(4)
    cv2.setNumThreads(4)
    torch.randn(600, 600) @ torch.randn(600, 600)
    cv2.resize(np.zeros((1000, 1000, 3), np.uint8), (1500, 1500))
    assert_same(*(epochs(DrawnImages(8), 0, workers=workers) for workers in (0, 2)))
