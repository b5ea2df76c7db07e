import io

import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter.datasets.dataset import Sample
from modelscope_vitadapter.datasets.label_ids import IGNORED, LabelIds
from modelscope_vitadapter.datasets.reading import read_sample
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from tests.datasets.makers import write_image, write_labels


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
    for size, hinted in (((2, 3), True), ((3, 3), False)):
        with pytest.raises(DataSetError, match="height 3 and width 2; expected the same") as caught:
            read(stream.getvalue(), np.zeros(size, np.uint8))
        assert ("EXIF" in str(caught.value)) is hinted


def test_what_is_wrong_is_named_by_file(tmp_path):
    image = write_image(tmp_path / "a.png")
    label = write_labels(tmp_path / "b.png", 5)
    other = write_labels(tmp_path / "other.png", np.zeros((3, 3)))
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    cases = [
        (image, other, 6, r"other\.png has height 3 and width 3.*a\.png has height 6 and width 4"),
        (image, label, 5, r"b\.png.*no class: 5"),
        (broken, label, 6, r"broken\.jpg"),
    ]
    for one, map_of_it, num_classes, says in cases:
        with pytest.raises(DataSetError, match=says):
            read(one, map_of_it, num_classes)
    with pytest.raises(DataSetNotFoundError, match=r"missing\.jpg"):
        read(tmp_path / "missing.jpg", label, 6)
    with pytest.raises(DataSetError, match="row 3"):
        read(b"no picture", label, 6, name="row 3")
