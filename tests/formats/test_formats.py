"""Each format gives back what was written, and leaves no other file."""

import numpy as np
import pytest

from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from modelscope_vitadapter.formats import yolo
from modelscope_vitadapter.formats.registry import FORMATS
from modelscope_vitadapter.formats.segmentation import Segmentation
from tests.formats.makers import (
    CLASSES,
    PALETTE,
    assert_same,
    examples,
    labelled,
    many_classes,
    nested,
)

WITHOUT_NAMES = {"id-png", "yolo"}
"""Formats whose files have no names of classes or of the image, tested where they are."""

SINGLE = sorted(one for one in FORMATS if not FORMATS[one].holds_many)
MANY = sorted(one for one in FORMATS if FORMATS[one].holds_many)


@pytest.mark.parametrize("name", sorted({*SINGLE} - WITHOUT_NAMES))
def test_an_image_comes_back(name, tmp_path):
    path = tmp_path / "new" / f"file{FORMATS[name].suffix}"
    for one in [*examples(), many_classes(), labelled(nested(), palette=None)]:
        FORMATS[name].write(path, one)
        assert_same(FORMATS[name].read(path), one)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", MANY)
def test_images_come_back_in_order(name, tmp_path):
    path = tmp_path / "new" / f"file{FORMATS[name].suffix}"
    for many in (examples(), [many_classes()], []):
        FORMATS[name].write(path, iter(many))
        found = list(FORMATS[name].read(path))
        assert len(found) == len(many)
        for one, other in zip(found, many, strict=True):
            assert_same(one, other)
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("name", sorted({*MANY} - {"coco-panoptic"}))
def test_no_palette_comes_back_as_none(name, tmp_path):
    path = tmp_path / f"file{FORMATS[name].suffix}"
    FORMATS[name].write(path, [labelled(nested(), palette=None)])
    assert [one.palette for one in FORMATS[name].read(path)] == [None]


@pytest.mark.parametrize("name", MANY)
def test_images_of_a_file_have_the_same_classes_and_other_names(name, tmp_path):
    path = tmp_path / f"file{FORMATS[name].suffix}"
    other = labelled(nested(), "2.jpg", (*CLASSES[:3], "bush"))
    for second, message in ((other, "other classes"), (labelled([[0]]), "two images are called")):
        with pytest.raises(DataSetError, match=message):
            FORMATS[name].write(path, [labelled(nested()), second])
    assert not path.is_file()


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_file_that_is_damaged_or_missing_is_refused(name, tmp_path):
    entry = FORMATS[name]
    path = tmp_path / f"file{entry.suffix}"
    with pytest.raises(DataSetNotFoundError):
        list([entry.read(path)] if not entry.holds_many else entry.read(path))
    entry.write(path, [labelled(nested())] if entry.holds_many else labelled(nested()))
    files = [one for one in tmp_path.rglob("*") if one.is_file() and one.name != "data.json"]
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
        with pytest.raises(DataSetError):
            found = entry.read(path) if entry.holds_many else [entry.read(path)]
            list(found)
        file.write_bytes(content)


@pytest.mark.parametrize("name", ["labelme", "cvat-xml", "label-studio"])
def test_formats_by_names_refuse_two_classes_of_one_name(name, tmp_path):
    one, entry = labelled([[0]], classes=("a", "a"), palette=None), FORMATS[name]
    with pytest.raises(DataSetError, match="more than one"):
        entry.write(tmp_path / "file", [one] if entry.holds_many else one)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["coco-panoptic", "fiftyone"])
def test_names_that_differ_in_the_suffix_only_are_refused(name, tmp_path):
    many = [labelled([[0]], "a.jpg"), labelled([[0]], "a.png")]
    with pytest.raises(DataSetError, match="suffix"):
        FORMATS[name].write(tmp_path / f"file{FORMATS[name].suffix}", many)


def test_yolo_comes_back_by_size_and_names(tmp_path):
    path = tmp_path / "1.txt"
    large = labelled(np.repeat([[0, 1], [1, 0], [2, 2]], [5003, 8111, 7919], axis=0))
    for one in [*examples(), many_classes(), large]:
        yolo.write(path, one)
        found = yolo.read(path, one.size, one.classes)
        assert (found.class_map == one.class_map).all() and found.classes == one.classes
    with pytest.raises(DataSetNotFoundError, match="pass size="):
        yolo.read(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "/a.jpg"}, "path below a folder"),
        ({"name": "../a.jpg"}, "path below a folder"),
        ({"name": "a\\b.jpg"}, "path below a folder"),
        ({"class_map": np.zeros((2, 2))}, "expected integers"),
        ({"class_map": np.array([[4]])}, "expected -1 to 3"),
        ({"class_map": np.array([[-2]])}, "expected -1 to 3"),
        ({"palette": PALETTE[:3]}, "of each class"),
        ({"palette": ((0, 0, 256),) * 4}, "from 0 to 255"),
    ],
)
def test_what_does_not_fit_together_is_refused(change, message):
    fitting = {"class_map": nested(), "classes": CLASSES, "palette": PALETTE, "name": "a.jpg"}
    Segmentation(**fitting)
    with pytest.raises(DataSetError, match=message):
        Segmentation(**{**fitting, **change})
