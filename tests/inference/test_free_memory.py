import sys
from types import SimpleNamespace

import pytest
import torch

from modelscope_vitadapter.inference import free_memory as memory
from modelscope_vitadapter.inference.free_memory import free_memory

CPU = torch.device("cpu")


def test_a_cpu_has_some():
    free = free_memory(CPU)
    assert free is None or 2**20 < free < 2**50
    if sys.platform in ("linux", "win32"):
        assert free is not None


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_", ".", 1)).write_text(f"{content}\n", encoding="ascii")


def test_container_of_version_2(tmp_path):
    root, membership = tmp_path / "cgroup", tmp_path / "self"
    membership.write_text("0::/jobs/one\n", encoding="ascii")
    write(root / "jobs" / "one", memory_max="max", memory_current=5)
    assert memory.container_memory(root, membership) is None
    write(
        root / "jobs", memory_max=1000, memory_current=900, memory_stat="anon 1\ninactive_file 50"
    )
    assert memory.container_memory(root, membership) == 150
    write(root / "jobs" / "one", memory_max=100, memory_current=90)
    assert memory.container_memory(root, membership) == 10
    write(root, memory_max=7, memory_current=9)
    assert memory.container_memory(root, membership) == 0


def test_container_of_version_1(tmp_path):
    root, membership = tmp_path / "cgroup", tmp_path / "self"
    membership.write_text("3:cpu,cpuacct:/a\n7:memory:/a\n", encoding="ascii")
    folder = root / "memory" / "a"
    write(folder)
    (folder / "memory.limit_in_bytes").write_text("1000\n", encoding="ascii")
    (folder / "memory.usage_in_bytes").write_text("400\n", encoding="ascii")
    (folder / "memory.stat").write_text("total_inactive_file 30\n", encoding="ascii")
    assert memory.container_memory(root, membership) == 630


def test_no_container(tmp_path):
    assert memory.container_memory(tmp_path, tmp_path / "missing") is None


@pytest.mark.parametrize(
    ("machine", "container", "expected"), [(9, 4, 4), (3, 4, 3), (9, None, 9), (None, None, None)]
)
def test_the_smaller_limit_counts(monkeypatch, machine, container, expected):
    monkeypatch.setattr(memory, "machine_memory", lambda: machine)
    monkeypatch.setattr(memory, "container_memory", lambda: container)
    assert free_memory(CPU) == expected


def test_an_accelerators_reserve_counts_as_free(monkeypatch):
    driver = SimpleNamespace(
        mem_get_info=lambda device: (100, 900),
        memory_reserved=lambda device: 50,
        memory_allocated=lambda device: 20,
    )
    monkeypatch.setattr(torch, "cuda", driver)
    assert free_memory(torch.device("cuda:0")) == 130


def test_an_unknown_device():
    assert free_memory(torch.device("meta")) is None
