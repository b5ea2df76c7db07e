"""Filling a network from a checkpoint of any format."""

import concurrent.futures
import contextlib
import logging
import multiprocessing
import os
import threading

import numpy as np
import pytest
import torch

from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.checkpoint.stored import Checkpoint
from modelscope_vitadapter.errors import CheckpointError
from tests.support.peak import peak, reset_peak
from tests.support.small_checkpoints import FORMATS, assert_loaded, make_network

MEBIBYTE = 2**20
NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_each_format_and_precision_fills_the_network(written, state, caplog, kind, dtype):
    saved = {n: t.to(dtype) if t.is_floating_point() else t for n, t in state.items()}
    network = make_network()
    load_into(network, written(saved, kind))
    assert_loaded(network, saved)
    assert network.backbone.linear.weight.dtype == torch.float32
    assert network.backbone.norm.num_batches_tracked.dtype == torch.int64
    assert not caplog.records


def test_what_the_network_says_of_its_tensors_stays(written, state):
    network = make_network().half()
    load_into(network, written(state))
    block = network.backbone
    assert isinstance(block.linear.weight, torch.nn.Parameter)
    assert block.linear.weight.requires_grad
    assert block.linear.weight.dtype == torch.float16
    assert not block.gamma.requires_grad
    assert not isinstance(block.scale, torch.nn.Parameter)
    assert block.transient.is_meta  # not in checkpoints; its owner computes it


@contextlib.contextmanager
def _torch_threads(count):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield
    torch.set_num_threads(before)


CIRCUMSTANCES = {
    "a default device": lambda: torch.device("meta"),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "seven threads": lambda: _torch_threads(7),
}


@pytest.mark.parametrize("circumstance", CIRCUMSTANCES)
def test_circumstances_make_no_difference(written, state, circumstance):
    for kind in FORMATS:
        network = make_network().to_empty(device="cpu")
        path = written(state, kind)
        with CIRCUMSTANCES[circumstance]():
            load_into(network, path)
        assert_loaded(network, state)
        with torch.no_grad():
            network.backbone.linear.weight.add_(1)  # no tensor of inference mode


def test_threads_do_not_disturb_each_other(written, state):
    path = written({"state_dict": state, "meta": {"lr": np.float64(3), "a": np.arange(3)}})
    networks = [make_network() for _ in range(40)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda network: load_into(network, path), networks))
    for network in networks:
        assert_loaded(network, state)


@pytest.mark.parametrize("prefix", ["", "module.", "module._orig_mod.model."])
@pytest.mark.parametrize("entry", [None, "state_dict", "model", "module"])
def test_wrappers_are_taken_off(written, state, prefix, entry):
    wrapped = {prefix + name: tensor for name, tensor in state.items()}
    network = make_network()
    load_into(network, written(wrapped if entry is None else {"epoch": 3, entry: wrapped}))
    assert_loaded(network, state)


def test_left_overs_are_neither_read_nor_warned_of(written, state, caplog):
    nan = torch.full((2,), NAN)
    left_overs = {
        "module.backbone.blocks.0.attn.relative_position_index": torch.zeros(4, dtype=torch.int64),
        "auxiliary_head.conv_seg.bias": nan,
        "ema_backbone_cls_token": torch.eye(3).to_sparse(),
        "decode_head.loss_cls.class_weight": torch.zeros(1).expand(10**6, 10**6),
    }
    content = {"state_dict": state | left_overs, "optimizer": {"state": {0: {"exp_avg": nan}}}}
    network = make_network()
    with caplog.at_level(logging.DEBUG, "modelscope.vitadapter"):
        load_into(network, written(content))
    assert_loaded(network, state)
    assert not caplog.records


def test_unexpected_entries_are_logged_once(written, state, caplog):
    extra = {f"neck.{i}.weight": torch.zeros(1) for i in range(30)}
    load_into(make_network(), written(state | extra))
    assert len(caplog.records) == 1
    for part in ("30 entries", "neck.0.weight", "and 10 more"):
        assert part in caplog.text


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_missing_counters_become_zero_on_the_device_that_is_asked_for(written, state, device):
    del state["backbone.norm.num_batches_tracked"]
    network = make_network()
    load_into(network, written(state), device=device)
    assert {tensor.device.type for tensor in network.state_dict().values()} == {device}
    counter = network.backbone.norm.num_batches_tracked
    assert counter.dtype == torch.int64
    assert device == "meta" or counter.item() == 0


@pytest.mark.parametrize("kind", FORMATS)
def test_one_error_lists_all_that_is_wrong(written, state, kind):
    del state["backbone.gamma"], state["decode_head.weight"]
    state["backbone.linear.weight"] = torch.zeros(3, 4)
    state["backbone.linear.bias"] = torch.zeros(4, dtype=torch.int64)
    state["backbone.norm.bias"] = torch.zeros(4, dtype=torch.complex64)
    state["backbone.norm.num_batches_tracked"] = torch.tensor(1.5)
    network, path = make_network(), written(state, kind)
    with pytest.raises(CheckpointError) as caught:
        load_into(network, path)
    for part in (
        "'backbone.gamma' is missing, expected shape [4]",
        "'decode_head.weight' is missing, expected shape [3, 2, 3, 3]",
        "'backbone.linear.weight' has shape [3, 4], expected [4, 3]",
        "'backbone.linear.bias' is of type torch.int64, expected torch.float32",
        "'backbone.norm.bias' is of type",
        "'backbone.norm.num_batches_tracked' is of type torch.float32, expected torch.int64",
        "2 of 10 entries are missing and 4 have another shape or kind",
        f"{path}",
        "do not belong together",
    ):
        assert part in str(caught.value)
    assert all(parameter.is_meta for parameter in network.parameters())  # nothing was read


@pytest.mark.parametrize(
    "change",
    [torch.Tensor.to_sparse, lambda t: t.to("meta"), lambda t: torch.complex(t, t).conj().imag],
)
def test_tensors_that_are_not_dense_are_refused_where_they_are_needed(written, state, change):
    name = "backbone.linear.weight"
    state[name] = change(state[name])
    with pytest.raises(CheckpointError, match=f"'{name}' is not an ordinary dense tensor"):
        load_into(make_network(), written(state))


def test_one_name_twice_is_refused(written, state):
    state["module.backbone.gamma"] = torch.zeros(4)
    with pytest.raises(CheckpointError, match=r"weights': Two .* both stand for 'backbone\.gamma'"):
        load_into(make_network(), written(state))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("value", [NAN, INFINITE, -INFINITE])
def test_weights_that_are_not_finite_are_named(written, state, caplog, kind, value):
    names = {"backbone.norm.running_var", "decode_head.weight", "backbone.scale"}
    for name in names:
        state[name].view(-1)[1] = value
    load_into(make_network(), written(state, kind))
    assert len(caplog.records) == 1
    assert "NaN or infinity in 3 entries" in caplog.text
    assert all(name in caplog.text for name in names)


@pytest.mark.parametrize("network_dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_finite_is_what_the_networks_type_holds(written, state, caplog, network_dtype):
    state["backbone.gamma"] = torch.full((4,), torch.finfo(network_dtype).max)  # its square is not
    load_into(make_network().to(network_dtype), written(state))
    assert not caplog.records
    state["backbone.gamma"] = torch.full((4,), 1e300, dtype=torch.float64)
    load_into(make_network().to(network_dtype), written(state))
    assert "in 1 entries" in caplog.text


@pytest.mark.parametrize("positioned", [True, False])
def test_reads_that_stop_half_way_go_on(written, state, monkeypatch, positioned):
    """Also where the system has no reads at a position, so that threads share one."""
    if not positioned:
        monkeypatch.delattr("os.preadv", raising=False)
    whole = Checkpoint._read_some
    monkeypatch.setattr(Checkpoint, "_read_some", lambda self, view, at: whole(self, view[:7], at))
    network = make_network()
    with _torch_threads(2):
        load_into(network, written(state))
    assert_loaded(network, state)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_shrinks_while_it_is_read_is_an_error(written, kind, monkeypatch):
    """A mapped file would end the process."""
    state = {f"{i}.weight": torch.zeros(512, 512) for i in range(8)}
    with torch.device("meta"):
        network = torch.nn.Sequential(*(torch.nn.Linear(512, 512, bias=False) for _ in range(8)))
    path = written(state, kind)
    read = Checkpoint.read

    def shrink(self, name):
        if name == "5.weight":
            os.truncate(path, 2 * MEBIBYTE)
        return read(self, name)

    monkeypatch.setattr(Checkpoint, "read", shrink)
    with pytest.raises(CheckpointError, match=f"{path}.*cut short: tensor"), _torch_threads(1):
        load_into(network, path)


def test_a_disk_that_fails_is_the_callers_error(written, state, monkeypatch):
    running, path, read_some = threading.active_count(), written(state), Checkpoint._read_some

    def fail(self, view, position):
        if len(view) == 3 * 2 * 3 * 3 * 4:
            raise OSError(5, "Input/output error")
        return read_some(self, view, position)

    monkeypatch.setattr(Checkpoint, "_read_some", fail)
    with pytest.raises(CheckpointError, match=r"tensor 'decode_head\.weight'.*Input/output error"):
        load_into(make_network(), path)
    assert threading.active_count() == running


LAYERS = range(20)


def _growth(path, sender):
    with torch.device("meta"):
        network = torch.nn.Sequential(*(torch.nn.Linear(1024, 1024, bias=False) for _ in LAYERS))
    before = reset_peak()
    load_into(network, path)
    sender.send(peak() - before)


@pytest.mark.skipif(reset_peak() is None, reason="the system has no such counter")
@pytest.mark.parametrize("kind", ["zip", "safetensors"])
def test_memory_is_that_of_the_network_and_index_buffers_are_not_read(written, kind):
    state = {f"{i}.weight": torch.zeros(1024, 1024) for i in LAYERS}
    for i in LAYERS:
        state[f"{i}.attn.relative_position_index"] = torch.zeros(512, 1024, dtype=torch.int64)
    context = multiprocessing.get_context("spawn")  # its memory is its own
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_growth, args=(written(state, kind), sender))
    process.start()
    sender.close()
    assert 75 * MEBIBYTE < receiver.recv() < 110 * MEBIBYTE  # the index buffers have 80 more
    process.join()


def test_weights_that_repeat_data_are_refused_before_they_take_memory(written):
    with torch.device("meta"):
        network = torch.nn.Sequential(*(torch.nn.Linear(8192, 8192) for _ in range(2)))
    repeated = {n: torch.zeros(1).expand(t.shape) for n, t in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"536936448 bytes would be read.*repeat the same"):
        load_into(network, written(repeated))
    # One record that is read from begin to end for each of many tensors.
    data, network = torch.zeros(2**20), torch.nn.Module()
    spread = {f"b{number}": data[:: 2**20 - 1] for number in range(100)}
    for name in spread:
        network.register_buffer(name, torch.zeros(2, device="meta"))
    with pytest.raises(CheckpointError, match="repeat the same data"):
        load_into(network, written(spread))
    load_into(network, written({name: tensor.clone() for name, tensor in spread.items()}))
