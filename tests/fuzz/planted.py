"""Kinds with a fault, by which the tests know that faults are noticed."""

import time

from hypothesis import strategies as st

from modelscope_vitadapter.errors import ConfigError
from tests.fuzz.canary import touch
from tests.fuzz.kinds import Kind

_FILES = st.integers(0, 99).map(lambda number: {"mmcv_config.py": b"x = %d\n" % number})
_HELD = []


def _text(directory):
    return (directory / "mmcv_config.py").read_text(encoding="utf-8")


def _large(directory):
    return int(_text(directory).split("=")[1]) >= 40


def _executes(directory):
    if _large(directory):
        exec(_text(directory), {})


def _writes(directory):
    if _large(directory):
        (directory / "mmcv_config.py").write_text("x = 1\n", encoding="utf-8")


def _calls(directory):
    if _large(directory):
        touch()


def _looks_around(directory):
    if _large(directory):
        (directory.parent / "secret.py").read_bytes()


def _raises(directory):
    if _large(directory):
        raise KeyError("x")


def _raises_badly(directory):
    if _large(directory):
        raise ConfigError("something is wrong")


def _differs(directory):
    return _large(directory)


def _never(directory, outcome):
    assert outcome is not True


def _burns(directory):
    end = time.process_time() + 0.7
    while _large(directory) and time.process_time() < end:
        pass


def _swells(directory):
    if _large(directory):
        _HELD[:] = [b"\1" * (600 * 2**20)]
        _HELD.clear()


def _hangs(directory):
    while _large(directory):
        time.sleep(0.01)


def _spoils(directory):
    if _HELD:
        raise ConfigError("mmcv_config.py no longer loads")
    if _large(directory):
        _HELD.append(1)


PLANTED = {
    kind.name: kind
    for kind in (
        Kind("none", _FILES, _text),
        Kind("code", _FILES, _executes),
        Kind("writing", _FILES, _writes),
        Kind("canary", _FILES, _calls),
        Kind("outside", _FILES, _looks_around),
        Kind("exception", _FILES, _raises),
        Kind("message", _FILES, _raises_badly),
        Kind("difference", _FILES, _differs, _never),
        Kind("slow", _FILES, _burns),
        Kind("memory", _FILES, _swells),
        Kind("hang", _FILES, _hangs),
        Kind("afterwards", _FILES, _spoils, good={"mmcv_config.py": b"x = 1\n"}),
    )
}
