"""What nobody can have meant is refused before training, and warned of before an evaluation."""

import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter.datasets.check import check_dataset, warn_of_odd_ids
from modelscope_vitadapter.datasets.open_dataset import open_dataset
from modelscope_vitadapter.errors import DataSetError
from modelscope_vitadapter.hints import on_command_line
from tests.datasets.makers import write_image, write_labels


def dataset_of(root, *rows, count=1, **options):
    """Images whose label maps have these ids, a row of pixels each."""
    for number in range(count):
        write_image(root / "images" / f"{number}.jpg", (len(rows), 4))
        write_labels(root / "labels" / f"{number}.png", [[one] * 4 for one in rows])
    return open_dataset(root, **options)


CANNOT_BE_MEANT = [
    ([0, 0, 0, 255], 2, "0:0,255:1", "255, with 25 % of the pixels, is not counted"),
    ([0, 255, 255, 255], 5, "0:0,255:1", "255, with 75 %"),
    ([1, 2, 2, 1], 4, "reduce-zero", "id 0 is never used .* ids 1 to 2"),
]


@pytest.mark.parametrize(("ids", "classes", "meant", "says"), CANNOT_BE_MEANT)
def test_ids_that_cannot_be_meant(tmp_path, caplog, ids, classes, meant, says):
    dataset = dataset_of(tmp_path, *ids)
    with pytest.raises(DataSetError, match=f"(?s){says}.*label_ids='{meant}'"):
        check_dataset(dataset, classes)
    with on_command_line(), pytest.raises(DataSetError, match=f"--label-ids {meant}"):
        check_dataset(dataset, classes)
    warn_of_odd_ids(dataset, classes, 1)
    assert f"label_ids='{meant}'" in caplog.text
    caplog.clear()
    check_dataset(dataset, classes, strict=False)
    assert f"label_ids='{meant}'" in caplog.text


@pytest.mark.parametrize(
    ("ids", "classes", "options"),
    [
        ([0, 0, 0, 255], 2, {"ignore_ids": 255}),
        ([0, 0, 0, 255], 2, {"label_ids": "0:0,255:1"}),
        ([1, 2, 2, 1], 3, {"label_ids": "as-is"}),
        ([1, 2, 0, 1], 2, {"label_ids": "reduce-zero"}),
        ([0, 1, 1, 255], 2, {}),
        ([0, 1, 2, 0], 3, {}),
    ],
)
def test_what_was_said_or_can_be_meant_goes(tmp_path, caplog, ids, classes, options):
    dataset = dataset_of(tmp_path, *ids, **options)
    check_dataset(dataset, classes)
    warn_of_odd_ids(dataset, classes, 1)
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("ids", "classes", "says"),
    [
        ([0, 1, 255, 255, 255, 255], 3, "id 255, which is not counted, has 67 % of the pixels of"),
        ([0, 2, 3, 3], 4, "of class 1, while later classes are there"),
        ([255, 255, 255], 3, "has a class, all are of ids that are not counted: 255"),
    ],
)
def test_what_may_be_meant_is_warned_of(tmp_path, caplog, ids, classes, says):
    warn_of_odd_ids(dataset_of(tmp_path, *ids), classes, 1)
    assert says in caplog.text


def test_of_many_classes_some_are_absent_from_a_few_images(tmp_path, caplog):
    dataset = dataset_of(tmp_path, 0, 7, 99)
    warn_of_odd_ids(dataset, 171, 1)
    assert caplog.text == ""
    check_dataset(dataset, 171)  # which looked at all of them
    assert "of class 1, 2, 3" in caplog.text


@pytest.mark.parametrize(("orientation", "size"), [(3, (3, 4)), (2, (3, 4)), (6, (4, 4))])
def test_one_warning_where_a_label_map_fits_the_stored_image_as_well(
    tmp_path, caplog, orientation, size
):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for number in range(3):
        write_image(tmp_path / "images" / f"{number}.jpg", size, exif=exif)
        write_labels(tmp_path / "labels" / f"{number}.png", np.zeros(size))
    check_dataset(open_dataset(tmp_path), 1)
    assert caplog.text.count("exif='ignore'") == 1
    assert "0.jpg has an EXIF orientation" in caplog.text
    caplog.clear()
    check_dataset(open_dataset(tmp_path, exif="ignore"), 1)
    assert caplog.text == ""
