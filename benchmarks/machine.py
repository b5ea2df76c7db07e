"""What the figures were measured on."""

import datetime
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def describe_machine() -> dict[str, Any]:
    """Processor, memory, systems and versions, as far as they can be known."""
    from modelscope_vitadapter.version import __version__

    return {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "memory_bytes": total_memory(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "package": __version__,
        "commit": commit(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def processor_name() -> str:
    """The processor's model name."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    if sys.platform == "darwin":
        return _output_of("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor()
    return platform.processor() or platform.machine()


def total_memory() -> int | None:
    """Bytes of main memory."""
    if os.name == "nt":
        import ctypes

        kilobytes = ctypes.c_ulonglong()
        ask = ctypes.WinDLL("kernel32").GetPhysicallyInstalledSystemMemory
        return kilobytes.value * 1024 if ask(ctypes.byref(kilobytes)) else None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def available_memory() -> int | None:
    """Bytes that programs can still take, where the system says so (Linux)."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def commit() -> str | None:
    """The short name of the commit that is measured, `+` behind it if files were changed since."""
    name = _output_of("git", "rev-parse", "--short", "HEAD")
    changed = _output_of("git", "status", "--porcelain", "--untracked-files=no")
    return None if not name else name + ("+" if changed else "")


def _output_of(*command: str) -> str:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
