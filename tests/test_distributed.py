import pytest
import torch
from torch import distributed

from modelscope_vitadapter.distributed import PATIENCE, join_group, local_rank, started_together


@pytest.fixture
def asked(monkeypatch):
    """What PyTorch was asked for; nothing is done."""
    calls = []
    monkeypatch.setattr(
        distributed, "init_process_group", lambda backend, timeout: calls.append((backend, timeout))
    )
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: calls.append(("device", device)))
    return calls


@pytest.mark.parametrize(
    ("count", "on_gpu", "expected"),
    [
        (None, True, []),
        (1, False, []),
        (2, False, [("gloo", PATIENCE)]),
        # processes on GPUs take that of their number
        (4, True, [("device", 3), ("nccl", PATIENCE)]),
    ],
)
def test_several_processes_make_a_group(monkeypatch, asked, count, on_gpu, expected):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if count is not None:
        monkeypatch.setenv("WORLD_SIZE", str(count))
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert local_rank() == 3
    assert join_group(on_gpu=on_gpu) == started_together() == bool(expected)
    assert asked == expected


def test_a_group_is_made_once(monkeypatch, asked):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    assert not join_group(on_gpu=False)
    assert asked == []
