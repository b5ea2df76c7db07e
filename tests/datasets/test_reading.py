import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter.datasets.label_ids import IGNORED, LabelIds
from modelscope_vitadapter.datasets.reading import read_labelled
from modelscope_vitadapter.datasets.samples import Sample
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from tests.datasets.makers import write_labels, write_picture


def name_of(source):
    return str(source) if isinstance(source, Path) else type(source).__name__


def sample(image, label):
    return Sample(name_of(image), image, label, f"label map {name_of(label)}")


def test_picture_and_classes(tmp_path):
    image = write_picture(tmp_path / "a.png", (2, 3), value=9)
    label = write_labels(tmp_path / "b.png", [[0, 1, 255], [1, 1, 0]])
    found = read_labelled(sample(image, label), LabelIds(), 2)
    assert found.image.shape == (2, 3, 3)
    assert found.image.dtype == np.uint8
    assert (found.image == 9).all()
    assert found.classes.tolist() == [[0, 1, IGNORED], [1, 1, 0]]
    assert found.name == str(image)


def test_pictures_are_bgr():
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    found = read_labelled(sample(image, np.zeros((1, 2), np.uint8)), LabelIds(), 1)
    assert found.image[0, 0].tolist() == [3, 2, 1]


def test_floats_are_rounded():
    image = np.full((1, 2, 3), 99.6)
    found = read_labelled(sample(image, np.zeros((1, 2), np.uint8)), LabelIds(), 1)
    assert found.image.dtype == np.uint8
    assert found.image[0, 0, 0] == 100


def test_sizes_that_differ_are_refused(tmp_path):
    image = write_picture(tmp_path / "a.png", (2, 3))
    label = write_labels(tmp_path / "b.png", np.zeros((3, 3)))
    with pytest.raises(DataSetError, match=r"b\.png.*height 3.*a\.png.*height 2") as caught:
        read_labelled(sample(image, label), LabelIds(), 2)
    assert "EXIF" not in str(caught.value)


def oriented(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    Image.new("RGB", (3, 2)).save(stream, "JPEG", exif=exif)
    return stream.getvalue()


def test_label_maps_are_of_the_upright_picture():
    found = read_labelled(sample(oriented(6), np.zeros((3, 2), np.uint8)), LabelIds(), 1)
    assert found.image.shape == (3, 2, 3)
    with pytest.raises(DataSetError, match=r"EXIF orientation \(6\)"):
        read_labelled(sample(oriented(6), np.zeros((2, 3), np.uint8)), LabelIds(), 1)
    with pytest.raises(DataSetError) as caught:
        read_labelled(sample(oriented(3), np.zeros((3, 2), np.uint8)), LabelIds(), 1)
    assert "EXIF" not in str(caught.value)


def test_what_is_wrong_is_named_by_file(tmp_path):
    image = write_picture(tmp_path / "a.png")
    label = write_labels(tmp_path / "b.png", 5)
    with pytest.raises(DataSetError, match=r"b\.png.*no class: 5"):
        read_labelled(sample(image, label), LabelIds(), 5)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    with pytest.raises(DataSetError, match=r"broken\.jpg"):
        read_labelled(sample(broken, label), LabelIds(), 6)
    with pytest.raises(DataSetNotFoundError, match=r"missing\.jpg"):
        read_labelled(sample(tmp_path / "missing.jpg", label), LabelIds(), 6)
    with pytest.raises(DataSetError, match="row 3"):
        read_labelled(Sample("row 3", b"no picture", label, "x"), LabelIds(), 6)
