import pytest

from tests.reliability import workers


@pytest.fixture(scope="package")
def segmentor():
    return workers.build()


@pytest.fixture(scope="package")
def wanted(segmentor):
    """The class map of each of `workers.PICTURES`, each asked for alone."""
    return [workers.class_map(segmentor, picture) for picture in workers.PICTURES]
