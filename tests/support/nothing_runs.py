"""How a test knows that nothing that a file names was called."""

import contextlib
import sys

CALLS = []
"""What was called of this module's functions, and what else happened that loading never does."""

_EVENTS = (
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "socket.connect"),
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "shutil.rmtree", "ctypes.dlopen"),
)
_state = {"watching": False, "hooked": False}


def bait(*_args, **_kwargs):
    """What a hostile file asks for."""
    CALLS.append("bait")


class Bait:
    """A class that a hostile file asks for; notes that it is made or filled."""

    def __new__(cls, *_args, **_kwargs):
        CALLS.append("Bait")
        return super().__new__(cls)

    def __setstate__(self, _state):
        CALLS.append("Bait.__setstate__")

    def __reduce__(self):
        return bait, ()


def _hook(event, arguments):
    if _state["watching"] and (
        event in _EVENTS or (event == "open" and "w" in str(arguments[1] or ""))
    ):
        CALLS.append(f"{event} {arguments}"[:200])


@contextlib.contextmanager
def nothing_runs():
    """Fail where a bait is called, a program started, or a file written meanwhile."""
    if not _state["hooked"]:
        sys.addaudithook(_hook)  # there is no way to remove one
    _state.update(hooked=True, watching=True)
    CALLS.clear()
    try:
        yield
    finally:
        _state["watching"] = False
    assert not CALLS, f"called: {CALLS}"
