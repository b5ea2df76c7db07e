import math

import pytest
import torch

from benchmarks import model_files
from benchmarks.model_files import (
    CHECKPOINT,
    INDEX,
    checkpoint_entries,
    config_text,
    ensure_model,
    weight_bytes,
)
from benchmarks.random_weights import random_weight
from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.config.model_config import parse_model
from modelscope_vitadapter.config.reader import read_config
from modelscope_vitadapter.network.build import build_network
from tests.support.configs import tiny_config

TINY_SIDE = 64 // 16


@pytest.fixture
def tiny(monkeypatch):
    """Makes the tiny model what `full` stands for."""
    with torch.device("meta"):
        state = build_network(parse_model(tiny_config())).state_dict()
    entries = {name: (str(v.dtype)[6:], tuple(v.shape)) for name, v in state.items()}
    tokens = 1 + TINY_SIDE**2
    entries[f"backbone.blocks.0.{INDEX}"] = ("int64", (tokens, tokens))
    monkeypatch.setattr(model_files, "checkpoint_entries", lambda size: entries)
    text = "".join(f"{key} = {value!r}\n" for key, value in tiny_config().items())
    monkeypatch.setattr(model_files, "config_text", lambda size: text)
    return entries


def test_small_model_is_a_model_in_the_same_form(tmp_path):
    path = tmp_path / "mmcv_config.py"
    path.write_text(config_text("small"), encoding="utf-8")
    settings = parse_model(read_config(path))
    assert settings.windows.crop_size == (448, 448)
    assert settings.head.num_classes == 171
    names = checkpoint_entries("small")
    assert names[f"backbone.blocks.7.{INDEX}"] == ("int64", (785, 785))
    assert "backbone.blocks.8.gamma_1" not in names


def test_full_size_is_the_golden_one():
    entries = checkpoint_entries("full")
    assert sum(name.endswith(INDEX) for name in entries) == 24
    assert weight_bytes(entries) == pytest.approx(571e6 * 4, rel=0.002)


def test_model_is_written_once_in_the_builtin_form(tiny, tmp_path, caplog):
    folder = ensure_model("full", tmp_path)
    stored = torch.load(folder / CHECKPOINT, weights_only=True)["state_dict"]
    assert {name: tuple(value.shape) for name, value in stored.items()} == {
        name: shape for name, (_, shape) in tiny.items()
    }
    index = stored[f"backbone.blocks.0.{INDEX}"]
    assert index[0, 0] == (2 * TINY_SIDE - 1) ** 2 + 2
    network = build_network(parse_model(tiny_config()))
    load_into(network, folder / CHECKPOINT)
    assert not caplog.records  # of names that the network has no place for
    written = (folder / CHECKPOINT).stat().st_mtime_ns
    assert ensure_model("full", tmp_path) == folder
    assert (folder / CHECKPOINT).stat().st_mtime_ns == written


def test_network_with_random_weights_uses_its_parts():
    network = build_network(parse_model(tiny_config())).eval()
    weights = {
        name: random_weight(name, tuple(value.shape)) if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    network.load_state_dict(weights)
    noise = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        class_logits, mask_logits = network(noise)
    assert class_logits.isfinite().all()
    assert 0.3 < class_logits.std(dim=1).mean() < 30
    assert 0.05 < mask_logits.std(dim=(-1, -2)).mean() < 30
    assert math.isfinite(float(mask_logits.abs().max()))
