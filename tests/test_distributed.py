import pytest
import torch
from torch import distributed

from modelscope_vitadapter import distributed as group
from modelscope_vitadapter.distributed import is_joined, join_group, local_rank, started_together


@pytest.fixture
def asked(monkeypatch):
    """What PyTorch was asked for, by name; nothing is done."""
    calls = []
    monkeypatch.setattr(
        distributed, "init_process_group", lambda backend, timeout: calls.append((backend, timeout))
    )
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: calls.append(("device", device)))
    return calls


def start(monkeypatch, count, rank=0):
    monkeypatch.setenv("WORLD_SIZE", str(count))
    monkeypatch.setenv("LOCAL_RANK", str(rank))


@pytest.mark.parametrize("on_gpu", [True, False])
def test_a_process_alone_makes_no_group(monkeypatch, asked, on_gpu):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert not started_together()
    assert not is_joined()
    assert not join_group(on_gpu=on_gpu)
    start(monkeypatch, 1)
    assert not join_group(on_gpu=on_gpu)
    assert asked == []


def test_a_group_is_made_once(monkeypatch, asked):
    start(monkeypatch, 2)
    monkeypatch.setattr(group, "is_joined", lambda: True)
    assert not join_group(on_gpu=False)
    assert asked == []


def test_processes_on_a_cpu_talk_by_gloo(monkeypatch, asked):
    start(monkeypatch, 2, 1)
    assert started_together()
    assert join_group(on_gpu=False)
    assert asked == [("gloo", group.PATIENCE)]


def test_processes_on_gpus_take_that_of_their_number_and_talk_by_nccl(monkeypatch, asked):
    start(monkeypatch, 4, 3)
    assert local_rank() == 3
    assert join_group(on_gpu=True)
    assert asked == [("device", 3), ("nccl", group.PATIENCE)]
