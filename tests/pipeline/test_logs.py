"""Logging goes through ModelScope's logger and can be made quiet."""

import logging

from modelscope.utils.logger import get_logger as modelscope_logger

from modelscope_vitadapter.logs import get_logger, set_quiet


def test_logger_is_modelscopes_child():
    assert get_logger().parent is modelscope_logger()


def test_quiet_and_back(monkeypatch):
    set_quiet()
    assert not get_logger().isEnabledFor(logging.WARNING)
    set_quiet(False)
    assert get_logger().isEnabledFor(logging.WARNING)
    monkeypatch.setenv("MODELSCOPE_VITADAPTER_QUIET", "1")
    assert not get_logger().isEnabledFor(logging.WARNING)
    set_quiet(False)
