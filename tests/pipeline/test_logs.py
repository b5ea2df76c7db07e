"""Logging goes through ModelScope's logger and can be made quiet."""

import importlib
import logging

import pytest
from modelscope.utils.logger import get_logger as modelscope_logger

from modelscope_vitadapter import logs
from modelscope_vitadapter.logs import get_logger, set_quiet


def test_logger_is_modelscopes_child():
    assert get_logger().parent is modelscope_logger()


def test_quiet_and_back():
    set_quiet()
    assert not get_logger().isEnabledFor(logging.WARNING)
    set_quiet(False)
    assert get_logger().isEnabledFor(logging.WARNING)


@pytest.mark.parametrize(("value", "quiet"), [("1", True), ("0", False), ("", False)])
def test_environment_variable_is_read_once(monkeypatch, value, quiet):
    monkeypatch.setenv("MODELSCOPE_VITADAPTER_QUIET", value)
    importlib.reload(logs)
    assert get_logger().isEnabledFor(logging.WARNING) is not quiet
    set_quiet(False)
    assert get_logger().isEnabledFor(logging.WARNING)
