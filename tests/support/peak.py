"""The most memory that a process held."""

import contextlib
import sys
from pathlib import Path


def reset_peak():
    """Let the peak begin at what is held now, where the system can.

    Returns:
        The peak from now on, in bytes; None where it is unknown.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak()


def peak():
    """The most bytes that this process held since the last reset; None where it is unknown.

    Linux hands `ru_maxrss` down to the programs that a process starts, so that a small one seems
    to have held what its parent did. What /proc says does not have that.
    """
    with contextlib.suppress(OSError, StopIteration):
        status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        line = next(line for line in status if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    with contextlib.suppress(ImportError):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return None
