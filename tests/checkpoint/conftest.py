import pytest

from tests.support.small_checkpoints import bytes_of, make_state


@pytest.fixture
def state():
    return make_state()


@pytest.fixture
def written(tmp_path):
    """Write a checkpoint under a name that says nothing of its format."""

    def write(content, kind="zip"):
        path = tmp_path / "weights"
        path.write_bytes(content if isinstance(content, bytes) else bytes_of(content, kind))
        return path

    return write
