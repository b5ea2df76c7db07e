"""How much memory is free on a device."""

import ctypes
import os
import sys
from pathlib import Path

import torch


def free_memory(device: torch.device) -> int | None:
    """Bytes that can be allocated on a device, as far as can be found out.

    For a CPU the smaller of what the machine has available and what the container (cgroup) still
    allows. For an accelerator what its driver reports, plus what PyTorch holds in reserve.

    Returns:
        None where it is unknown.
    """
    if device.type == "cpu":
        known = [amount for amount in (machine_memory(), container_memory()) if amount is not None]
        return min(known, default=None)
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    module = getattr(torch, device.type, None)
    if module is None or not hasattr(module, "mem_get_info"):
        return None
    free: int = module.mem_get_info(device)[0]
    reserved: int = module.memory_reserved(device) - module.memory_allocated(device)
    return free + reserved


def machine_memory() -> int | None:
    """Available memory of the machine: free, or used by file caches that give way."""
    if sys.platform == "win32":
        return _windows()
    lines = _text("/proc/meminfo").splitlines()
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # macOS knows no such name
        return None


def _windows() -> int | None:
    class MemoryStatus(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_uint32),
            ("load", ctypes.c_uint32),
            *(
                (name, ctypes.c_uint64)
                for name in ("total", "available", "p", "ap", "v", "av", "ae")
            ),
        )

    status = MemoryStatus(length=ctypes.sizeof(MemoryStatus))
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009  # exists on Windows only
    if not kernel.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None
    return int(status.available)


def container_memory(
    root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> int | None:
    """What the tightest Linux control group around this process still allows, None without a limit.

    Args:
        root: where control groups are mounted, version 2 or, in `memory`, version 1.
        membership: the file that names the groups of this process.
    """
    free = []
    for line in _text(membership).splitlines():
        _, kinds, path = line.split(":", 2)
        if kinds not in ("", "memory"):
            continue
        base = root if kinds == "" else root / "memory"
        names = (
            ("memory.max", "memory.current", "inactive_file")
            if kinds == ""
            else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        )
        group = base / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder == base or base in folder.parents:
                amount = _group(folder, *names)
                free += [] if amount is None else [amount]
    return min(free, default=None)


def _group(folder: Path, limit_name: str, usage_name: str, cache_name: str) -> int | None:
    limit, usage = _text(folder / limit_name).strip(), _text(folder / usage_name).strip()
    if not limit.isdecimal() or not usage.isdecimal():  # "max", or no such file
        return None
    statistics = dict(line.split(" ", 1) for line in _text(folder / "memory.stat").splitlines())
    return max(int(limit) - int(usage) + int(statistics.get(cache_name, 0)), 0)


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
