import pytest

from tests.hostile.entries import make_directory, write_whole


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The well-formed model directory."""
    directory = tmp_path_factory.mktemp("whole") / "model"
    write_whole(directory)
    return directory


@pytest.fixture
def made(tmp_path):
    """Make an entry's directory; what keeps this system from having it skips the test."""

    def make(entry):
        reason = make_directory(entry, tmp_path / "model")
        if reason is not None:
            pytest.skip(reason)
        return tmp_path / "model"

    return make
