import numpy as np
import pytest

from modelscope_vitadapter.errors import ImageError
from modelscope_vitadapter.images.reading import read_image
from modelscope_vitadapter.images.writing import write_image
from tests.images.makers import BGR


@pytest.mark.parametrize("name", ["结果 图.png", "b.bmp", "c.PNG"])
def test_written_images_read_back(tmp_path, name):
    write_image(tmp_path / name, BGR)
    assert np.array_equal(read_image(tmp_path / name), BGR)
    write_image(str(tmp_path / name), BGR[:, ::-1])
    assert np.array_equal(read_image(tmp_path / name), BGR[:, ::-1])


def test_floats_are_rounded_and_clipped(tmp_path):
    write_image(tmp_path / "a.png", np.array([[-3.0, 1.4, 1.6, 300.0]]))
    assert read_image(tmp_path / "a.png")[0, :, 0].tolist() == [0, 1, 2, 255]


@pytest.mark.parametrize(
    ("name", "array"),
    [("a.txt", BGR), ("a", BGR), ("a.png", np.zeros((2, 2, 7), np.uint8)), ("a.png", BGR[:0])],
)
def test_what_cannot_be_written_is_refused(tmp_path, name, array):
    with pytest.raises(ImageError, match="can't be written"):
        write_image(tmp_path / name, array)
    assert not list(tmp_path.iterdir())
