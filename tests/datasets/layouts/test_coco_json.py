"""COCO's JSON: where it and its images may be, polygons, run lengths, what is refused."""

import json
import sys

import numpy as np
import pytest
from pycocotools import mask

from modelscope_vitadapter.datasets.layouts import coco_json
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from tests.datasets.makers import SIZE, write_image

CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}]
SQUARE = [0, 0, 2, 0, 2, 2, 0, 2]
RUNS = {"size": list(SIZE), "counts": [0, 6, 18]}  # the first column


def write_coco(path, *segmentations, names=("a.jpg", "b.jpg"), **changes):
    """Annotations of the first of some images, alternately of both categories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [
        {"id": index, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
        for index, name in enumerate(names)
    ]
    annotations = [
        {"id": index, "image_id": 0, "category_id": (3, 18)[index % 2], "segmentation": one}
        for index, one in enumerate(segmentations)
    ]
    content = {"images": images, "annotations": annotations, "categories": CATEGORIES, **changes}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def beside(root, *segmentations, **changes):
    for name in ("a.jpg", "b.jpg"):
        write_image(root / "images" / name)
    return write_coco(root / "result.json", *segmentations, **changes)


@pytest.mark.parametrize(
    ("file", "images", "names"),
    [
        ("annotations/instances_train2017.json", "train2017", ["train2017"]),
        ("annotations/instances_default.json", "images/default", ["default"]),
        ("annotations/instances_default.json", "images", ["default"]),
        ("annotations/val.json", "val", ["val"]),
        ("annotations/val.json", "images/val", ["val"]),
        ("annotations/val.json", "images", ["val"]),
        ("annotations_all/annotations/instances_val2017.json", "val2017", ["val2017"]),
        ("train/_annotations.coco.json", "train", ["train"]),
        ("annotations.json", ".", []),
        ("result.json", "images", []),
    ],
)
def test_places(tmp_path, file, images, names):
    for name in ("a.jpg", "b.jpg"):
        write_image(tmp_path / images / name)
    write_coco(tmp_path / file, [SQUARE])
    assert coco_json.splits(tmp_path) == names
    assert coco_json.splits(tmp_path / file) == []
    for root, split in ((tmp_path, names[0] if names else None), (tmp_path / file, None)):
        found = coco_json.find(root, split)
        assert [path.resolve() for path, _ in found.pairs] == [
            (tmp_path / images / name).resolve() for name in ("a.jpg", "b.jpg")
        ]
        assert found.classes == ("background", "car", "dog")
        assert found.pairs[0][1].ids()[:3, :3].tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
        assert not found.pairs[1][1].ids().any()


def test_other_folders_are_not_of_this_layout(tmp_path):
    write_image(tmp_path / "images" / "a.jpg")
    for name in ("captions_val2017.json", "a.json"):
        write_coco(tmp_path / "annotations" / name)
    assert coco_json.splits(tmp_path) is None
    with pytest.raises(DataSetNotFoundError, match="no split 'val'"):
        coco_json.find(tmp_path, "val")


def test_run_lengths(tmp_path):
    pixels = np.zeros(SIZE, np.uint8, order="F")
    pixels[1, 1:3] = 1
    packed = mask.encode(pixels)
    packed["counts"] = packed["counts"].decode()
    beside(tmp_path, RUNS, packed)
    ids = coco_json.find(tmp_path, None).pairs[0][1].ids()
    expected = 2 * pixels
    expected[:, 0] = 1
    assert (ids == expected).all()


def test_compressed_run_lengths_need_a_package(tmp_path, monkeypatch):
    beside(tmp_path, {"size": list(SIZE), "counts": "0"})
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(DataSetError, match=r"modelscope-vitadapter\[coco\]"):
        coco_json.find(tmp_path, None).pairs[0][1].ids()


def test_identity_is_of_the_dataset_not_its_place(tmp_path):
    identities = []
    for name, rings in (("a", [SQUARE]), ("b", [SQUARE]), ("c", [SQUARE, SQUARE])):
        beside(tmp_path / name, rings)
        identities.append([one.identity for _, one in coco_json.find(tmp_path / name, None).pairs])
    assert identities[0] == identities[1]
    assert len({one for pair in identities for one in pair}) == 4


@pytest.mark.parametrize(
    "segmentation",
    [
        *([[1, 2, 3]], [["a", "b"]], [[float("nan"), 1] * 3], [[1e300, 1] * 3], "ab", 5, [{}]),
        *({"counts": [1, 2]}, {**RUNS, "size": [4, 6]}, {**RUNS, "counts": [5]}, {"size": 5}),
        *({**RUNS, "counts": "zz~~"}, {**RUNS, "counts": "é"}),
    ],
)
def test_what_cannot_be_drawn_is_named(tmp_path, segmentation):
    beside(tmp_path, segmentation)
    with pytest.raises(DataSetError, match=r"annotation 0 of .*result\.json"):
        coco_json.find(tmp_path, None).pairs[0][1].ids()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"images": []}, "no images"),
        ({"images": 5}, "'images' of .* is 5, expected list"),
        ({"images": [{"file_name": "../a.jpg"}]}, r"'\.\./a\.jpg'"),
        ({"images": [{"file_name": "a.jpg", "height": 10**9, "width": 10**9}]}, "pixels"),
        ({"names": ["c.jpg"]}, r"'c\.jpg', which is in none"),
        ({"annotations": [5]}, r"annotation 0 .*lacks image_id"),
        ({"annotations": [{"image_id": [], "category_id": 1, "segmentation": [[]]}]}, "image_id"),
        ({"categories": None}, "categories"),
        ({"categories": [{"id": 3}]}, "'name' of a category"),
    ],
)
def test_files_of_another_form_are_refused(tmp_path, changes, says):
    beside(tmp_path, **changes)
    with pytest.raises(DataSetError, match=says):
        coco_json.find(tmp_path, None)


def test_boxes_are_no_labels_and_categories_must_be_listed(tmp_path):
    beside(tmp_path, [], None)
    with pytest.raises(DataSetError, match="for detection"):
        coco_json.find(tmp_path, None)
    beside(tmp_path, [SQUARE], categories=[{"id": 4, "name": "x"}])
    with pytest.raises(DataSetError, match="category 3"):
        coco_json.find(tmp_path, None).pairs[0][1].ids()
