"""Loading with several threads."""

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from safetensors.torch import save_file

from modelscope_vitadapter.checkpoint import load, stored
from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.checkpoint.stored import ByteFile, FileSource
from modelscope_vitadapter.errors import CheckpointError

LAYERS = 12


@contextlib.contextmanager
def thread_count(count):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield count
    torch.set_num_threads(before)


@pytest.fixture(params=[1, 2, 7])
def threads(request):
    with thread_count(request.param) as count:
        yield count


@pytest.fixture
def two_threads():
    with thread_count(2):
        yield


@pytest.fixture
def one_thread():
    with thread_count(1):
        yield


@pytest.fixture
def stack():
    """A network of twelve layers of two sizes."""

    def make():
        with torch.device("meta"):
            sizes = [600 if i % 3 == 0 else 20 for i in range(LAYERS)]
            return torch.nn.Sequential(*(torch.nn.Linear(size, size) for size in sizes))

    return make


@pytest.fixture
def weights(stack):
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(tensor.shape, generator=generator)
        for name, tensor in stack().state_dict().items()
    }


@pytest.fixture(params=["zip", "old", "safetensors"])
def saved(request, tmp_path, weights):
    path = tmp_path / "weights"
    if request.param == "safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=request.param == "zip")
    return path


@pytest.fixture
def zipped(tmp_path, weights):
    torch.save(weights, tmp_path / "pytorch_model.pt")
    return tmp_path / "pytorch_model.pt"


@pytest.mark.parametrize("batch_bytes", [1, 10**6, load.BATCH_BYTES])
def test_every_number_of_threads_gives_the_same(
    saved, stack, weights, check_loaded, monkeypatch, threads, batch_bytes
):
    monkeypatch.setattr(load, "BATCH_BYTES", batch_bytes)
    network = stack()
    assert load_into(network, saved).used == len(weights)
    check_loaded(network, weights)


def test_systems_without_reads_at_a_position(
    zipped, stack, weights, check_loaded, monkeypatch, two_threads
):
    class Slow(stored.FileIO):
        def seek(self, *args):
            position = super().seek(*args)
            time.sleep(0.001)  # time for another thread to move the position away
            return position

    monkeypatch.delattr("os.preadv", raising=False)
    monkeypatch.setattr(stored, "FileIO", Slow)
    monkeypatch.setattr(load, "BATCH_BYTES", 1)
    network = stack()
    load_into(network, zipped)
    check_loaded(network, weights)


@pytest.mark.parametrize("positioned", [True, False])
def test_reads_that_stop_half_way_go_on(
    zipped, stack, weights, check_loaded, monkeypatch, positioned
):
    if not positioned:
        monkeypatch.delattr("os.preadv", raising=False)
    whole = ByteFile._read_some
    monkeypatch.setattr(
        ByteFile, "_read_some", lambda self, view, position: whole(self, view[:4000], position)
    )
    network = stack()
    load_into(network, zipped)
    check_loaded(network, weights)


def test_threads_are_as_many_as_torch_uses_and_four_at_most(zipped, stack, monkeypatch, threads):
    asked = []

    class Recorded(ThreadPoolExecutor):
        def __init__(self, workers):
            asked.append(workers)
            super().__init__(workers)

    monkeypatch.setattr(load, "ThreadPoolExecutor", Recorded)
    load_into(stack(), zipped)
    assert asked == [{1: 1, 2: 2, 7: 4}[threads]]


def test_one_thread_reads_front_to_back(zipped, stack, monkeypatch, one_thread):
    positions = []
    read_tensor = ByteFile.read_tensor

    def record(self, name, tensor):
        positions.append(tensor.position)
        return read_tensor(self, name, tensor)

    monkeypatch.setattr(ByteFile, "read_tensor", record)
    load_into(stack(), zipped)
    assert positions == sorted(positions)
    assert len(positions) == 2 * LAYERS


def test_an_error_in_a_thread_is_the_callers(zipped, stack, monkeypatch, two_threads):
    monkeypatch.setattr(load, "BATCH_BYTES", 1)
    running = threading.active_count()
    read_some = ByteFile._read_some

    def fail(self, view, position):
        if len(view) == 600 * 600 * 4:
            raise OSError(5, "Input/output error")
        return read_some(self, view, position)

    monkeypatch.setattr(ByteFile, "_read_some", fail)
    with pytest.raises(CheckpointError, match=r"tensor '0\.weight'.*Input/output error"):
        load_into(stack(), zipped)
    assert threading.active_count() == running


def test_an_interrupt_ends_the_reading(zipped, stack, monkeypatch, one_thread):
    monkeypatch.setattr(load, "BATCH_BYTES", 1)
    running = threading.active_count()
    cancelled = threading.Event()
    reads = []
    read = FileSource.read

    def wait_after_the_first(self, name):
        reads.append(name)
        if len(reads) > 1:
            assert cancelled.wait(60)
        return read(self, name)

    class Recorded(ThreadPoolExecutor):
        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            cancelled.set()
            super().shutdown(wait=wait)

    def interrupt(self, value):
        raise KeyboardInterrupt

    monkeypatch.setattr(FileSource, "read", wait_after_the_first)
    monkeypatch.setattr(load, "ThreadPoolExecutor", Recorded)
    monkeypatch.setattr(load._Slot, "put", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load_into(stack(), zipped)
    assert len(reads) <= 2
    assert threading.active_count() == running


def test_weights_loaded_in_inference_mode_can_be_changed_outside(
    zipped, stack, weights, check_loaded
):
    network = stack()
    with torch.inference_mode():
        load_into(network.half(), zipped)
    with torch.no_grad():
        network[0].weight.add_(0)
    check_loaded(network, {name: tensor.half() for name, tensor in weights.items()})
