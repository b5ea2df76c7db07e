from types import SimpleNamespace

import numpy as np
import pytest
import torch

from modelscope_vitadapter.inference import memory
from modelscope_vitadapter.inference.memory import (
    check_image_fits,
    check_masks_fit,
    container_memory,
    free_memory,
)

CPU = torch.device("cpu")
INT64, BOOL = np.dtype("int64"), np.dtype(bool)
SIDE = 5000


@pytest.fixture
def free(monkeypatch):
    return lambda amount: monkeypatch.setattr(memory, "free_memory", lambda device: amount)


def test_the_tightest_limit_counts(monkeypatch):
    assert 2**20 < free_memory(CPU) < 2**50
    machine = SimpleNamespace(available=9)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: machine)
    for container, expected in ([], 9), ([4, 7], 4), ([20], 9):
        monkeypatch.setattr(memory, "container_memory", lambda found=container: found)
        assert free_memory(CPU) == expected


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_", ".", 1)).write_text(f"{content}\n", encoding="ascii")


def test_a_container_of_version_2(tmp_path):
    root, membership = tmp_path / "cgroup", tmp_path / "self"
    assert container_memory(root, membership) == []
    membership.write_text("0::/jobs/one\n", encoding="ascii")
    write(root / "jobs" / "one", memory_max="max", memory_current=5)
    assert container_memory(root, membership) == []
    write(
        root / "jobs", memory_max=1000, memory_current=900, memory_stat="anon 1\ninactive_file 50"
    )
    write(root, memory_max=7, memory_current=9)
    assert sorted(container_memory(root, membership)) == [0, 150]


def test_a_container_of_version_1(tmp_path):
    root, membership = tmp_path / "cgroup", tmp_path / "self"
    membership.write_text("3:cpu,cpuacct:/a\n7:memory:/a\n", encoding="ascii")
    folder = root / "memory" / "a"
    write(folder, memory_stat="total_inactive_file 30")
    (folder / "memory.limit_in_bytes").write_text("1000\n", encoding="ascii")
    (folder / "memory.usage_in_bytes").write_text("400\n", encoding="ascii")
    assert container_memory(root, membership) == [630]


def test_an_accelerators_reserve_counts_as_free(monkeypatch):
    driver = SimpleNamespace(
        mem_get_info=lambda device: (100, 900),
        memory_reserved=lambda device: 50,
        memory_allocated=lambda device: 20,
    )
    monkeypatch.setattr(torch, "cuda", driver)
    assert free_memory(torch.device("cuda:0")) == 130
    assert free_memory(torch.device("meta")) is None


def test_nothing_is_refused_where_little_is_needed_or_nothing_is_known(free):
    free(0)
    check_image_fits("'a.png'", (2000, 3000))
    free(None)
    check_image_fits("'a.png'", (10**9, 10**9))
    check_masks_fit((10**9, 10**9), 9, INT64)
