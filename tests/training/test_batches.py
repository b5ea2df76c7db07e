import gc
import multiprocessing
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from modelscope_vitadapter.datasets.reading import read_sample
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.training.augmentation.settings import AugmentationSettings
from modelscope_vitadapter.training.augmentation.views import network_input, random_view
from modelscope_vitadapter.training.batches import build_loader
from modelscope_vitadapter.training.seeds import epoch_order, sample_seed
from tests.training.drawn_pictures import CLASSES, DrawnPictures, Failing, ProcessIds, ThreadCounts

ROOT = Path(__file__).parents[2]
SETTINGS = AugmentationSettings(crop_size=(32, 48), scale=(192, 48))
PATIENCE = 120
"""Seconds after which a program is taken to hang."""

START_METHODS = [
    one
    for one in multiprocessing.get_all_start_methods()
    if one != "forkserver" and (one, sys.platform) != ("fork", "darwin")
]


opened = []
"""Loaders of the test that runs."""


@pytest.fixture(autouse=True)
def _closed_loaders():
    yield
    while opened:
        opened.pop().close()


def loader_of(pictures, **options):
    options = {"num_classes": CLASSES, "batch_size": 2, "seed": 7, **options}
    opened.append(build_loader(pictures, SETTINGS, **options))
    return opened[-1]


def same(first, second):
    return (
        torch.equal(first.images, second.images)
        and torch.equal(first.classes, second.classes)
        and first.seeds == second.seeds
        and first.names == second.names
    )


def assert_same(found, expected):
    assert len(found) == len(expected)
    assert all(map(same, found, expected))


def epochs(loader, *numbers):
    found = []
    for number in numbers:
        loader.set_epoch(number)
        found += loader
    return found


def test_a_batch_holds_what_its_seeds_draw():
    pictures = DrawnPictures(5)
    loader = loader_of(pictures)
    loader.set_epoch(3)
    order = epoch_order(5, 7, 3)
    batches = list(loader)
    assert len(batches) == len(loader) == 2
    for batch, indices in zip(batches, (order[:2], order[2:4]), strict=True):
        assert batch.images.shape == (2, 3, 32, 48)
        assert batch.images.dtype == torch.float32
        assert batch.classes.shape == (2, 32, 48)
        assert batch.classes.dtype == torch.int16
        assert batch.names == [f"picture {index}" for index in indices]
        assert batch.seeds == [sample_seed(7, 3, int(index)) for index in indices]
        for row, index in enumerate(indices):
            picture = read_sample(pictures[index], pictures.label_ids, CLASSES)
            rng = np.random.default_rng(batch.seeds[row])
            image, classes = network_input(random_view(picture, SETTINGS, rng), SETTINGS)
            assert np.array_equal(batch.images[row].numpy(), image)
            assert np.array_equal(batch.classes[row].numpy(), classes)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_give_the_same_bits_as_none(workers):
    expected = epochs(loader_of(DrawnPictures(11)), 0, 1, 4)
    assert_same(epochs(loader_of(DrawnPictures(11), workers=workers), 0, 1, 4), expected)


@pytest.mark.parametrize("start_method", START_METHODS)
def test_workers_may_be_forked_and_spawned(start_method):
    expected = epochs(loader_of(DrawnPictures(7)), 0, 1)
    loader = loader_of(DrawnPictures(7), workers=1, start_method=start_method)
    assert_same(epochs(loader, 0, 1), expected)


def test_epochs_differ_and_can_be_repeated():
    loader = loader_of(DrawnPictures(6))
    first, second, again = epochs(loader, 0), epochs(loader, 1), epochs(loader, 0)
    assert_same(again, first)
    assert not {seed for batch in first for seed in batch.seeds} & {
        seed for batch in second for seed in batch.seeds
    }
    names = sorted(name for batch in second for name in batch.names)
    assert names == [f"picture {index}" for index in range(6)]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("first_batch", [1, 3, 5])
def test_from_the_middle_of_an_epoch_on(workers, first_batch):
    loader = loader_of(DrawnPictures(11))
    loader.set_epoch(2)
    expected = list(loader)
    done = epoch_order(11, 7, 2)[: 2 * first_batch].tolist()
    resumed = loader_of(DrawnPictures(11, forbidden=done), workers=workers)
    resumed.set_epoch(2, first_batch)
    assert (resumed.epoch, resumed.first_batch) == (2, first_batch)
    assert len(resumed) == 5
    assert_same(list(resumed), expected[first_batch:])


def test_an_iteration_that_is_left_can_be_resumed_in_the_same_loader():
    loader = loader_of(DrawnPictures(15), workers=2)
    expected = epochs(loader_of(DrawnPictures(15)), 0)
    begun = iter(loader)
    assert_same([next(begun), next(begun)], expected[:2])
    loader.set_epoch(0, 2)
    assert_same(list(loader), expected[2:])
    with pytest.raises(RuntimeError, match="another iteration"):
        next(begun)


def test_an_iteration_that_was_overtaken_before_it_began_takes_nothing():
    loader = loader_of(DrawnPictures(6), workers=1)
    overtaken, current = iter(loader), iter(loader)
    next(current)
    with pytest.raises(RuntimeError, match="another iteration"):
        next(overtaken)
    assert len(list(current)) == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_closing_ends_the_workers_and_the_next_iteration_starts_others(workers):
    others = set(multiprocessing.active_children())
    loader = loader_of(DrawnPictures(9), workers=workers)
    expected = epochs(loader, 0)
    begun = iter(loader)
    next(begun)
    assert len(set(multiprocessing.active_children()) - others) == workers
    loader.close()
    assert set(multiprocessing.active_children()) <= others
    assert list(begun) == []
    assert_same(list(loader), expected)
    loader.close()
    loader.close()


def test_workers_end_with_the_last_reference_to_their_loader():
    others = set(multiprocessing.active_children())
    loader = build_loader(DrawnPictures(9), SETTINGS, num_classes=CLASSES, batch_size=2, workers=1)
    batches = iter(loader)
    next(batches)
    assert len(set(multiprocessing.active_children()) - others) == 1
    gc.disable()  # what only the collector finds would end too late
    try:
        del batches, loader
        assert set(multiprocessing.active_children()) <= others
    finally:
        gc.enable()


def test_only_what_a_process_needs_is_read():
    pictures = DrawnPictures(13)
    list(loader_of(pictures, processes=3, process=1))
    order = epoch_order(13, 7, 0).tolist()
    assert pictures.asked == order[2:4] + order[8:10]


@pytest.mark.parametrize("workers", [0, 1])
def test_slices_of_two_processes_make_up_the_double_batch(workers):
    whole = epochs(loader_of(DrawnPictures(14), batch_size=4), 0, 1)
    parts = [
        epochs(loader_of(DrawnPictures(14), processes=2, process=one, workers=workers), 0, 1)
        for one in range(2)
    ]
    assert len(whole) == len(parts[0]) == len(parts[1]) == 6
    for batch, first, second in zip(whole, *parts, strict=True):
        assert torch.equal(batch.images, torch.cat([first.images, second.images]))
        assert torch.equal(batch.classes, torch.cat([first.classes, second.classes]))
        assert batch.seeds == first.seeds + second.seeds
        assert batch.names == first.names + second.names


def test_an_epoch_may_be_left_out_whole():
    loader = loader_of(DrawnPictures(6))
    loader.set_epoch(1, 3)
    assert list(loader) == []


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_an_unreadable_picture_is_named(tmp_path, workers, content):
    path = tmp_path / "broken.png"
    if content is not None:
        path.write_bytes(content)
    order = epoch_order(9, 7, 0).tolist()
    loader = loader_of(DrawnPictures(9, broken={order[5]: path}), workers=workers)
    batches = iter(loader)
    assert next(batches).names == [f"picture {index}" for index in order[:2]]
    next(batches)
    with pytest.raises(DataSetError, match=r"broken\.png") as caught:
        next(batches)
    assert "Traceback" not in str(caught.value)
    assert isinstance(caught.value, FileNotFoundError) == (content is None)
    loader.set_epoch(0, 3)  # the others still come
    assert [batch.names for batch in loader] == [[f"picture {index}" for index in order[6:8]]]


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_data_set_raises_tells_which_sample(workers):
    with pytest.raises(DataSetError, match=r"sample 3 .* KeyError: .*no column"):
        list(loader_of(Failing(4, KeyError("no column 'image'")), workers=workers))


def test_errors_that_name_the_sample_and_lacking_memory_stay_as_they_are():
    for error in (DataSetError("row 3 has no image"), MemoryError("not enough")):
        with pytest.raises(type(error), match=f"^{error}$"):
            list(loader_of(Failing(4, error)))


@pytest.mark.parametrize("count", [0, 3])
def test_a_data_set_below_one_step_is_refused(count):
    with pytest.raises(DataSetError, match=rf"has {count} sample.*the 4 of one step"):
        loader_of(DrawnPictures(count), processes=2)
    assert len(loader_of(DrawnPictures(4), processes=2)) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0),
        ("batch_size", 1.5),
        ("processes", 0),
        ("process", 2),
        ("process", -1),
        ("workers", -1),
        ("seed", -1),
        ("seed", None),
    ],
)
def test_numbers_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=rf"^{name}=.*expected"):
        loader_of(DrawnPictures(8), **{"processes": 2, name: value})


@pytest.mark.parametrize("place", [(-1, 0), (0, -1), (0, 5)])
def test_places_outside_an_epoch_are_refused(place):
    loader = loader_of(DrawnPictures(8))
    with pytest.raises(ValueError, match="expected a whole number"):
        loader.set_epoch(*place)


@pytest.mark.parametrize("workers", [0, 1])
def test_global_random_numbers_are_left_alone(workers):
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    list(loader_of(DrawnPictures(4), workers=workers))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]


def test_batches_do_not_depend_on_global_random_numbers():
    torch.manual_seed(1)
    np.random.seed(1)
    expected = epochs(loader_of(DrawnPictures(4)), 0)
    torch.manual_seed(2)
    np.random.seed(2)
    assert_same(epochs(loader_of(DrawnPictures(4)), 0), expected)


def test_workers_compute_in_one_thread():
    batches = list(loader_of(ThreadCounts(4), workers=1))
    assert {name for batch in batches for name in batch.names} <= {"1 1", "1 0"}


def test_workers_live_on_between_epochs():
    loader = loader_of(ProcessIds(8), workers=2)
    first, second = (
        {name for batch in epochs(loader, epoch) for name in batch.names} for epoch in range(2)
    )
    assert first == second
    assert len(first) == 2
    assert str(os.getpid()) not in first


@pytest.mark.skipif("fork" not in START_METHODS, reason="workers cannot be forked here")
def test_workers_forked_from_a_process_with_threads_do_not_hang():
    answer = subprocess.run(
        [sys.executable, "-m", "tests.training.fork_parent"],
        cwd=ROOT,
        check=True,
        timeout=PATIENCE,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "4"},
    )
    assert answer.stdout.split() == ["same"]


def test_a_batch_on_another_device():
    (batch,) = loader_of(DrawnPictures(2))
    moved = batch.to("meta", non_blocking=True)
    assert moved.images.device.type == moved.classes.device.type == "meta"
    assert moved.images.shape == batch.images.shape
    assert (moved.seeds, moved.names) == (batch.seeds, batch.names)
    assert batch.images.device.type == "cpu"


def test_a_batch_is_pinned_whole(monkeypatch):
    """With copies in place of pinned memory, which needs a GPU."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", torch.Tensor.clone)
    (batch,) = loader_of(DrawnPictures(2))
    pinned = batch.pin_memory()
    assert same(pinned, batch)
    assert pinned.images.data_ptr() != batch.images.data_ptr()
    assert pinned.classes.data_ptr() != batch.classes.data_ptr()
