"""Notices what only running code does: files written, processes, imports, sockets.

Python reports such things to audit hooks, which can't be removed: one is installed per process,
and asleep while nothing is watched.
"""

import contextlib
import os
import sys
import sysconfig
from functools import lru_cache
from pathlib import Path

from tests.fuzz import canary

_NEVER = frozenset(
    """
    builtins.breakpoint builtins.input code.__new__ ctypes.dlopen ctypes.call_function
    function.__new__ os.chdir os.chmod os.chown os.exec os.fork os.forkpty os.kill os.killpg os.link
    os.mkdir os.posix_spawn os.putenv os.remove os.rename os.rmdir os.spawn os.startfile os.symlink
    os.system os.truncate os.unsetenv os.utime pickle.find_class pty.spawn shutil.copyfile
    shutil.move shutil.rmtree shutil.unpack_archive socket.bind socket.connect socket.getaddrinfo
    socket.sendto subprocess.Popen tempfile.mkdtemp tempfile.mkstemp urllib.Request webbrowser.open
    winreg.OpenKey
    """.split()  # noqa: SIM905
)
_IMPORTED_ON_DEMAND = (
    *("torch", "numpy", "encodings", "unicodedata", "stringprep", "_codecs", "_multibytecodec"),
)
"""What the standard library and torch import by themselves while they read: codecs, mostly."""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Watch:
    """The hook of a process.

    Attributes:
        events: what was noticed since `start`, in words.
    """

    def __init__(self):
        self.events = []
        self._awake = False
        self._directory = self._around = ""
        paths = sysconfig.get_paths()
        self._libraries = tuple({paths[name] for name in ("stdlib", "platstdlib", "purelib")})
        sys.addaudithook(self._note)

    def start(self, directory):
        """Watch from now on.

        Args:
            directory: the model directory; of the files around it none may be opened.
        """
        self.events = []
        canary.USES.clear()
        inside = Path(directory).resolve()
        self._directory = f"{inside}{os.sep}"
        self._around = f"{inside.parent}{os.sep}"
        self._awake = True

    def stop(self):
        """Stop watching; answer what was noticed."""
        self._awake = False
        return [*self.events, *canary.USES]

    def _note(self, event, arguments):
        if not self._awake:
            return
        if event in _NEVER:
            self.events.append(f"{event} {arguments!r:.200}")
        elif event == "open":
            self._note_open(*arguments)
        elif event == "import":
            if not str(arguments[0]).startswith(_IMPORTED_ON_DEMAND):
                self.events.append(f"import {arguments[0]}")
        elif event == "exec":
            path = getattr(arguments[0], "co_filename", "")
            if not path.startswith((*self._libraries, "<frozen ")):
                self.events.append(f"exec {arguments[0]!r:.200}")

    def _note_open(self, path, mode, flags):
        if isinstance(path, int):
            return
        with contextlib.suppress(OSError, ValueError):
            path = os.path.realpath(path)
        path = os.fsdecode(path)
        if flags & _WRITING or (mode and set(mode) & set("wax+")):
            self.events.append(f"open to write: {path}")
        elif path.startswith(self._around) and not path.startswith(self._directory):
            self.events.append(f"open outside the model directory: {path}")


@lru_cache(maxsize=1)
def watch():
    """The hook of this process; installed when first asked for."""
    return Watch()
