import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.errors import CheckpointError, CheckpointNotFoundError

FORMATS = ["zip", "old", "safetensors"]


@pytest.fixture
def save(tmp_path):
    def write(state, kind="zip"):
        if kind == "safetensors":
            save_file(state, tmp_path / "model.safetensors")
            return tmp_path / "model.safetensors"
        path = tmp_path / "pytorch_model.pt"
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
        return path

    return write


@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_fills_the_network(save, state, make_network, check_loaded, kind):
    network = make_network()
    report = load_into(network, save(state, kind))
    check_loaded(network, state)
    assert report.used == len(state)
    assert report.ignored == report.unexpected == ()


def test_what_the_network_says_of_its_tensors_stays(save, state, make_network):
    network = make_network()
    load_into(network, save(state))
    block = network.backbone
    assert isinstance(block.linear.weight, torch.nn.Parameter)
    assert block.linear.weight.requires_grad
    assert not block.gamma.requires_grad
    assert not isinstance(block.scale, torch.nn.Parameter)
    assert block.norm.num_batches_tracked.dtype == torch.int64
    assert block.norm.num_batches_tracked.item() == 7
    assert block.transient.is_meta  # not in checkpoints; its owner computes it


def test_a_network_that_is_in_memory_is_filled_too(save, state, make_network, check_loaded):
    network = make_network().to_empty(device="cpu")
    load_into(network, save(state))
    check_loaded(network, state)


def test_a_default_device_does_not_interfere(save, state, make_network, check_loaded):
    network = make_network()
    with torch.device("meta"):
        load_into(network, save(state))
    check_loaded(network, state)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_the_networks(save, state, make_network, check_loaded, dtype, kind):
    cast = {n: t.to(dtype) if t.is_floating_point() else t for n, t in state.items()}
    network = make_network()
    load_into(network, save(cast, kind))
    check_loaded(network, cast)
    assert network.backbone.linear.weight.dtype == torch.float32
    assert network.backbone.norm.num_batches_tracked.dtype == torch.int64


def test_a_half_precision_network_stays_one(save, state, make_network):
    network = make_network().half()
    load_into(network, save(state))
    expected = state["backbone.linear.weight"].half()
    assert torch.equal(network.backbone.linear.weight, expected)


@pytest.mark.parametrize("prefix", ["module.", "model.", "module.model.", "model.module."])
@pytest.mark.parametrize("entry", [None, "state_dict", "model", "module"])
def test_wrappers_are_taken_off(save, state, make_network, check_loaded, prefix, entry):
    wrapped = {prefix + name: tensor for name, tensor in state.items()}
    network = make_network()
    load_into(network, save(wrapped if entry is None else {entry: wrapped}))
    check_loaded(network, state)


def test_left_overs_are_ignored_without_a_warning(save, state, make_network, check_loaded, caplog):
    left_overs = {
        "backbone.blocks.0.attn.relative_position_index": torch.zeros(4, 4, dtype=torch.int64),
        "backbone.rel_pos_bias.relative_position_bias_table": torch.zeros(4, 2),
        "decode_head.conv_seg.weight": torch.zeros(2, 2, 1, 1),
        "auxiliary_head.conv_seg.bias": torch.zeros(2),
        "decode_head.loss_cls.class_weight": torch.zeros(3),
    }
    content = {
        "state_dict": {**state, **left_overs},
        "optimizer": {"state": {0: {"step": 1, "exp_avg": torch.zeros(3)}}},
        "lr_scheduler": {"last_epoch": 3},
        "meta": {"epoch": 12, "CLASSES": ("a", "b"), "PALETTE": [[1, 2, 3]]},
    }
    network = make_network()
    with caplog.at_level(logging.DEBUG, "modelscope.vitadapter"):
        report = load_into(network, save(content))
    check_loaded(network, state)
    assert set(report.ignored) == {*left_overs, "optimizer", "lr_scheduler", "meta"}
    assert report.used == len(state)
    assert report.unexpected == ()
    assert not caplog.records


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_named(save, state, make_network, caplog, kind, value):
    for name in ("backbone.norm.running_var", "decode_head.weight", "backbone.scale"):
        state[name].view(-1)[1] = value
    network = make_network()
    with caplog.at_level(logging.WARNING, "modelscope.vitadapter"):
        report = load_into(network, save(state, kind))
    expected = {"backbone.norm.running_var", "decode_head.weight", "backbone.scale"}
    assert set(report.not_finite) == expected
    assert len(caplog.records) == 1
    assert "NaN or infinity in 3 entries" in caplog.text
    assert all(name in caplog.text for name in expected)
    assert torch.equal(network.backbone.scale.isfinite(), state["backbone.scale"].isfinite())


def test_only_what_the_network_takes_has_to_be_finite(save, state, make_network, caplog):
    state["backbone.linear.weight"].fill_(3e38)  # the sum is not finite
    state["backbone.linear.bias"] = torch.full((4,), 1e-45)
    left_over = {"auxiliary_head.weight": torch.full((2,), float("nan"))}
    with caplog.at_level(logging.WARNING, "modelscope.vitadapter"):
        report = load_into(make_network(), save({"state_dict": {**state, **left_over}}))
    assert report.not_finite == ()
    assert not caplog.records


def test_numbers_that_the_networks_type_has_not(save, state, make_network):
    state["backbone.gamma"] = torch.full((4,), 1e300, dtype=torch.float64)
    assert load_into(make_network(), save(state)).not_finite == ("backbone.gamma",)
    state["backbone.gamma"] = torch.full((4,), 1e6)
    assert load_into(make_network().half(), save(state)).not_finite == ("backbone.gamma",)


def test_unexpected_entries_are_logged_once(save, state, make_network, caplog):
    extra = {f"neck.{i}.weight": torch.zeros(1) for i in range(30)}
    with caplog.at_level(logging.WARNING, "modelscope.vitadapter"):
        report = load_into(make_network(), save({**state, **extra}))
    assert report.unexpected == tuple(extra)
    assert len(caplog.records) == 1
    assert "30 entries" in caplog.text
    assert "neck.0.weight" in caplog.text
    assert "and 10 more" in caplog.text


def test_left_overs_are_not_read(save, state, make_network, check_loaded, monkeypatch):
    from modelscope_vitadapter.checkpoint.stored import ByteFile

    index = "backbone.blocks.0.attn.relative_position_index"
    path = save({"state_dict": {**state, index: torch.zeros(4, 4)}, "optimizer": [torch.ones(9)]})
    read = []
    original = ByteFile.read_tensor

    def record(self, name, stored):
        read.append(name)
        return original(self, name, stored)

    monkeypatch.setattr(ByteFile, "read_tensor", record)
    network = make_network()
    load_into(network, path)
    assert sorted(read) == sorted(state)
    check_loaded(network, state)


def test_missing_counters_become_zero(save, state, make_network):
    del state["backbone.norm.num_batches_tracked"]
    network = make_network()
    report = load_into(network, save(state))
    counter = network.backbone.norm.num_batches_tracked
    assert counter.item() == 0
    assert counter.dtype == torch.int64
    assert not counter.is_meta
    assert report.used == len(state)


@pytest.mark.parametrize("kind", FORMATS)
def test_one_error_lists_all_that_is_wrong(save, state, make_network, kind):
    del state["backbone.gamma"], state["decode_head.weight"]
    state["backbone.linear.weight"] = torch.zeros(3, 4)
    state["backbone.linear.bias"] = torch.zeros(4, dtype=torch.int64)
    state["backbone.norm.bias"] = torch.zeros(4, dtype=torch.complex64)
    state["backbone.norm.num_batches_tracked"] = torch.tensor(1.5)
    if kind == "safetensors":
        state["backbone.norm.bias"] = torch.zeros(4, dtype=torch.uint8)
    network = make_network()
    with pytest.raises(CheckpointError) as caught:
        load_into(network, save(state, kind))
    text = str(caught.value)
    for part in (
        "'backbone.gamma' is missing, expected shape [4]",
        "'decode_head.weight' is missing, expected shape [3, 2, 3, 3]",
        "'backbone.linear.weight' has shape [3, 4], expected [4, 3]",
        "'backbone.linear.bias' is of type torch.int64, expected torch.float32",
        "'backbone.norm.bias' is of type",
        "'backbone.norm.num_batches_tracked' is of type torch.float32, expected torch.int64",
        "2 of 10 entries are missing and 4 have another shape or kind",
        "do not belong together",
    ):
        assert part in text
    assert all(parameter.is_meta for parameter in network.parameters())  # nothing was read


def test_all_problems_are_listed_in_one_error(save):
    with torch.device("meta"):
        network = torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(20)))
    with pytest.raises(CheckpointError, match="40 of 40 entries are missing") as caught:
        load_into(network, save({"other": torch.zeros(1)}))
    assert all(f"'{name}' is missing" in str(caught.value) for name in network.state_dict())


def test_sparse_tensors_are_among_the_problems(save, state, make_network):
    state["backbone.linear.weight"] = state["backbone.linear.weight"].to_sparse()
    with pytest.raises(CheckpointError, match=r"linear\.weight' is not an ordinary dense tensor"):
        load_into(make_network(), save(state))


class Tied(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(5, 3)
        self.out = torch.nn.Linear(3, 5, bias=False)
        self.out.weight = self.embed.weight
        self.again = self.embed


@pytest.mark.parametrize(
    "names", [["embed.weight"], ["out.weight"], ["embed.weight", "out.weight"]]
)
def test_tied_parameters_stay_tied(save, names):
    weight = torch.randn(5, 3)
    with torch.device("meta"):
        network = Tied()
    load_into(network, save(dict.fromkeys(names, weight)))
    assert network.out.weight is network.embed.weight
    assert network.again is network.embed
    assert torch.equal(network.out.weight, weight)


def test_tied_parameters_that_are_missing(save):
    with torch.device("meta"):
        network = Tied()
    with pytest.raises(CheckpointError, match=r"1 of 1 entries are missing.*'embed\.weight'"):
        load_into(network, save({"other": torch.zeros(1)}))


def test_shared_memory_in_the_file_is_not_shared_afterwards(save, state, make_network):
    state["backbone.norm.bias"] = state["backbone.norm.weight"]
    network = make_network()
    load_into(network, save(state))
    with torch.no_grad():
        network.backbone.norm.bias.add_(1)
    assert torch.equal(network.backbone.norm.weight, state["backbone.norm.weight"])


def test_one_name_twice_is_refused(save, state, make_network):
    state["module.backbone.gamma"] = torch.zeros(4)
    with pytest.raises(CheckpointError, match=r"both stand for 'backbone\.gamma'"):
        load_into(make_network(), save(state))


def test_a_missing_file(tmp_path, make_network):
    with pytest.raises(CheckpointNotFoundError):
        load_into(make_network(), tmp_path / "pytorch_model.pt")


def test_paths_with_spaces_and_chinese_letters(tmp_path, state, make_network, check_loaded):
    folder = tmp_path / "模型 目录"
    folder.mkdir()
    for kind in ("pytorch_model.pt", "model.safetensors"):
        network = make_network()
        if kind.endswith("pt"):
            torch.save(state, folder / kind)
        else:
            save_file(state, folder / kind)
        load_into(network, folder / kind)
        check_loaded(network, state)


def test_the_golden_file_gives_its_report(golden):
    path = golden / "base" / "pytorch_model.pt"
    content = torch.load(path, weights_only=True)["state_dict"]
    name = "backbone.cls_token"
    with torch.device("meta"):
        network = torch.nn.Module()
        network.backbone = torch.nn.Module()
        network.backbone.cls_token = torch.nn.Parameter(torch.empty(content[name].shape))
    report = load_into(network, path)
    assert torch.equal(network.backbone.cls_token, content[name])
    indices = {n for n in content if n.endswith("relative_position_index")}
    assert indices < set(report.ignored)
    assert "meta" in report.ignored
    assert len(report.ignored) + len(report.unexpected) + report.used == len(content) + 1


MEASURE = """
import sys
from pathlib import Path

import torch

from modelscope_vitadapter.checkpoint.load import load_into


def peak():
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


with torch.device("meta"):
    network = torch.nn.Sequential(*(torch.nn.Linear(1024, 1024, bias=False) for _ in range(38)))
before = peak()
load_into(network, Path(sys.argv[1]))
sys.stdout.write(str(peak() - before))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's own counter")
@pytest.mark.parametrize("kind", ["zip", "safetensors"])
def test_memory_is_that_of_the_network(save, tmp_path, kind):
    mebibyte = 2**20
    state = {f"{i}.weight": torch.zeros(1024, 1024) for i in range(38)}
    for i in range(38):
        state[f"{i}.attn.relative_position_index"] = torch.zeros(512, 1024, dtype=torch.int64)
    path = save(state, kind)
    assert path.stat().st_size > 300 * mebibyte
    script = tmp_path / "measure.py"
    script.write_text(MEASURE, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, str(script), str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    path.unlink()
    # The network takes 152 MiB, the index buffers would be 152 MiB more.
    assert 150 * mebibyte < int(result.stdout) < 190 * mebibyte


def test_weights_that_repeat_a_few_elements_are_refused_before_they_take_memory(save):
    network = torch.nn.Module()
    with torch.device("meta"):
        network.layers = torch.nn.ModuleList(torch.nn.Linear(8192, 8192) for _ in range(2))
    state = {
        name: torch.zeros(1).expand(tensor.shape) for name, tensor in network.state_dict().items()
    }
    with pytest.raises(CheckpointError, match=r"536936448 bytes would be read.*repeat the same"):
        load_into(network, save(state))


def test_one_record_is_not_read_again_and_again(save):
    network = torch.nn.Module()
    with torch.device("meta"):
        for number in range(40):
            network.register_buffer(f"b{number}", torch.zeros(2))
    data = torch.zeros(2**22)
    state = {f"b{number}": data[:: 2**22 - 1] for number in range(40)}
    path = save(state)
    assert path.stat().st_size < 2**25
    with pytest.raises(CheckpointError, match="repeat the same data"):
        load_into(network, path)
    load_into(network, save({name: tensor.clone() for name, tensor in state.items()}))
