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
_NEVER = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "socket.connect")
_seen = None


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
def nothing_runs(directory):
    """Fails where code that is not a library's runs, or anything writes, while reading.

    `canary_module`, which can be imported meanwhile, and `CODE` would leave a file in `directory`,
    which is the working directory for so long.
    """
    global _seen
    (directory / f"{MODULE}.py").write_text(CODE, encoding="utf-8")
    before = os.getcwd()  # noqa: PTH109
    sys.path.insert(0, str(directory))
    os.chdir(directory)
    _seen = seen = []
    try:
        yield
    finally:
        _seen = None
        os.chdir(before)
        sys.path.remove(str(directory))
        imported = sys.modules.pop(MODULE, None)
    assert seen == []
    assert imported is None
    assert not (directory / FILE).exists()
