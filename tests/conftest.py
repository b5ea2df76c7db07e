import os

# Before PyTorch is imported: workers that run beside each other compute in one thread each.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # who waits leaves the core to others

import pytest
from hypothesis import settings

from modelscope_vitadapter.logs import get_logger
from tests.packaging.environments import Environment, copy_source

# The same examples in every run; `HYPOTHESIS_PROFILE=search` looks for new ones.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture(autouse=True)
def _capture_own_log(caplog, monkeypatch):
    """Lets `caplog` see this package's log whether ModelScope, which keeps its own, is there."""
    logger = get_logger()
    monkeypatch.setattr(logger, "propagate", False)
    logger.addHandler(caplog.handler)
    yield
    logger.removeHandler(caplog.handler)


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """An environment into which nothing but the built wheel was installed."""
    folder = tmp_path_factory.mktemp("installed")
    environment = Environment(folder / "environment")
    environment.install(copy_source(folder / "source"))
    return environment
