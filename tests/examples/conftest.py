import pytest

from tests.packaging.environments import Environment, copy_source


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """An environment into which nothing but the built wheel was installed."""
    folder = tmp_path_factory.mktemp("installed")
    environment = Environment(folder / "environment")
    environment.install(copy_source(folder / "source"))
    return environment
