import pytest

from modelscope_vitadapter.logs import get_logger


@pytest.fixture(autouse=True)
def _capture_own_log(caplog, monkeypatch):
    """Lets `caplog` see this package's log whether ModelScope, which keeps its own, is there."""
    logger = get_logger()
    monkeypatch.setattr(logger, "propagate", False)
    logger.addHandler(caplog.handler)
    yield
    logger.removeHandler(caplog.handler)
