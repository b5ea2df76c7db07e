"""Samples and whole datasets, read and checked."""

import io

import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter.datasets.check import check_dataset
from modelscope_vitadapter.datasets.dataset import Sample
from modelscope_vitadapter.datasets.label_ids import IGNORED, LabelIds
from modelscope_vitadapter.datasets.open_dataset import open_dataset
from modelscope_vitadapter.datasets.reading import read_sample
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from tests.datasets.makers import folder_of, write_image, write_labels


def read(image, label, num_classes=1, name=None):
    sample = Sample(name or str(image), image, label, f"label map {str(label)[-50:]}")
    return read_sample(sample, LabelIds(), num_classes)


def test_image_and_classes(tmp_path):
    image = write_image(tmp_path / "a.png", (2, 3), value=9)
    label = write_labels(tmp_path / "b.png", [[0, 1, 255], [1, 1, 0]])
    found = read(image, label, 2)
    assert found.image.dtype == np.uint8
    np.testing.assert_array_equal(found.image, np.full((2, 3, 3), 9))
    assert found.classes.tolist() == [[0, 1, IGNORED], [1, 1, 0]]
    assert found.name == str(image)


@pytest.mark.parametrize(
    ("image", "pixel"),
    [
        (Image.new("RGB", (2, 1), (1, 2, 3)), [3, 2, 1]),
        (np.full((1, 2, 3), 99.6), [100, 100, 100]),
    ],
)
def test_images_are_bgr_and_floats_are_rounded(image, pixel):
    found = read(image, np.zeros((1, 2), np.uint8))
    assert found.image.dtype == np.uint8
    assert found.image[0, 0].tolist() == pixel


def test_label_maps_are_of_the_upright_image():
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.new("RGB", (3, 2)).save(stream, "JPEG", exif=exif)
    assert read(stream.getvalue(), np.zeros((3, 2), np.uint8)).image.shape == (3, 2, 3)
    with pytest.raises(DataSetError, match="height 3 and width 2, upright as its EXIF data says"):
        read(stream.getvalue(), np.zeros((2, 3), np.uint8))


def test_what_is_wrong_is_named_by_file_or_row(tmp_path):
    label = write_labels(tmp_path / "b.png", 5)
    with pytest.raises(DataSetNotFoundError, match=r"missing\.jpg"):
        read(tmp_path / "missing.jpg", label, 6)
    with pytest.raises(DataSetError, match="row 3"):
        read(b"no picture", label, 6, name="row 3")


def refusal(dataset, num_classes):
    with pytest.raises(DataSetError) as caught:
        check_dataset(dataset, num_classes)
    return str(caught.value).splitlines()


def test_all_problems_are_listed_by_file(tmp_path):
    dataset = open_dataset(folder_of(tmp_path, count=7))
    check_dataset(dataset, 7)  # a sound one passes
    images, labels = tmp_path / "images" / "val", tmp_path / "labels" / "val"
    (images / "1.jpg").write_bytes(b"no picture")
    (labels / "2.png").unlink()
    write_labels(labels / "3.png", np.zeros((2, 2)))
    content = (images / "4.jpg").read_bytes()
    (images / "4.jpg").write_bytes(content[: len(content) // 2])
    lines = refusal(dataset, 6)
    assert lines[0] == "5 of 7 labelled images can't be used:"
    names = ["1.jpg", "2.png", "3.png", "4.jpg", "6.png"]
    problems = ["no picture", "does not exist", "height 2", "decoded", "no class: 6"]
    for line, name, problem in zip(lines[1:], names, problems, strict=True):
        assert name in line
        assert problem in line


def test_datasets_that_teach_nothing_are_refused(tmp_path):
    folder_of(tmp_path, count=2)
    for number in range(2):
        write_labels(tmp_path / "labels" / "val" / f"{number}.png", 255)
    assert "none of the 2 label maps holds a class" in refusal(open_dataset(tmp_path), 3)[0]


class Own(list):
    """A dataset of a caller's own."""

    label_ids = LabelIds()

    def __getitem__(self, index):
        raise RuntimeError("the disk is gone")


def test_datasets_of_callers_are_checked_by_index():
    assert "empty" in refusal(Own(), 3)[0]
    assert "image 1 (counted from 0): RuntimeError: the disk" in refusal(Own([1, 2]), 1)[2]
