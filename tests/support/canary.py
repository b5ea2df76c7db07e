"""How a test knows that nothing of a model directory ran."""

import contextlib
import os
import sys
import sysconfig

FILE = "canary"
MODULE = "canary_module"
CODE = f"open({FILE!r}, 'w').close()"
"""Python that leaves a file in the working directory."""

_LIBRARIES = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib"))
_NEVER = (
    *("os.system", "os.exec", "os.fork", "os.spawn", "os.posix_spawn", "subprocess.Popen"),
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "shutil.rmtree", "socket.connect"),
)
_seen = None


def bait(*_args, **_kwargs):
    """What a hostile pickle asks for."""
    _seen.append("bait")


class Bait:
    """A class that a hostile pickle asks for; notes that it is made or filled."""

    def __new__(cls, *_args, **_kwargs):
        _seen.append("Bait")
        return super().__new__(cls)

    def __setstate__(self, _state):
        _seen.append("Bait.__setstate__")

    def __reduce__(self):
        return bait, ()


def _note(event, arguments):
    """Python tells of what only running code does; such a hook can't be removed, but sleep."""
    if _seen is None:
        return
    if event in _NEVER:
        _seen.append(f"{event} {arguments!r:.200}")
    elif event == "open":
        mode, flags = arguments[1:]
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or set(mode or "") & set("wax+"):
            _seen.append(f"writing {arguments[0]!r:.200}")
    elif event == "exec":
        name = getattr(arguments[0], "co_filename", "")
        if not name.startswith((*_LIBRARIES, "<frozen ")):
            _seen.append(f"running {name}")


sys.addaudithook(_note)


@contextlib.contextmanager
def nothing_runs():
    """Fails where code that is not a library's runs, or anything writes, while reading."""
    global _seen
    _seen = seen = []
    try:
        yield
    finally:
        _seen = None
    assert seen == [], seen


@contextlib.contextmanager
def baited(directory):
    """Fails where `canary_module`, which can be imported meanwhile, or `CODE` ran.

    Either would leave a file in `directory`, which is the working directory for so long.
    """
    (directory / f"{MODULE}.py").write_text(CODE, encoding="utf-8")
    before = os.getcwd()  # noqa: PTH109
    sys.path.insert(0, str(directory))
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)
        sys.path.remove(str(directory))
        imported = sys.modules.pop(MODULE, None)
    assert imported is None, imported
    assert not (directory / FILE).exists(), FILE


@contextlib.contextmanager
def nothing_runs_in(directory):
    """Both at once."""
    with baited(directory), nothing_runs():
        yield
