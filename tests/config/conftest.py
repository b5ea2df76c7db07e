import pytest

from modelscope_vitadapter.config.reader import read_config


@pytest.fixture
def write(tmp_path):
    """Write files into a model directory; answer the path of its config."""

    def write_files(text, **others):
        for name, content in others.items():
            path = tmp_path / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        path = tmp_path / "mmcv_config.py"
        path.write_text(text, encoding="utf-8")
        return path

    return write_files


@pytest.fixture
def read(write):
    """Read a config given as text, with other files by name."""

    def read_text(text, **others):
        return read_config(write(text, **others))

    return read_text
