"""labelme's files: where they may be, classes, shapes, what is refused."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter.datasets.layouts import labelme
from modelscope_vitadapter.errors import DataSetError
from tests.datasets.makers import SIZE, write_image


def shape(label, points, kind="polygon", **more):
    return {"label": label, "points": points, "shape_type": kind, **more}


SQUARE = shape("cat", [[0, 0], [2, 0], [2, 2], [0, 2]])


def write_file(path, *shapes, **changes):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"shapes": list(shapes), "imagePath": f"{path.stem}.jpg", "imageData": "no base64"}
    content |= {"imageHeight": SIZE[0], "imageWidth": SIZE[1], **changes}
    path.write_text(json.dumps(content), encoding="utf-8")


def single(root, *shapes, **changes):
    """The label map of a dataset of one image."""
    write_image(root / "a.jpg")
    write_file(root / "a.json", *shapes, **changes)
    return labelme.find(root, None).pairs[0][1].ids()


@pytest.mark.parametrize(
    ("images", "labels", "names"),
    [
        (".", ".", []),
        ("images", "labels", []),
        ("val", "val", ["val"]),
        ("images/val", "labels/val", ["val"]),
        ("val/images", "val/annotations", ["val"]),
    ],
)
def test_places(tmp_path, images, labels, names):
    assert labelme.splits(tmp_path) is None
    write_image(tmp_path / images / "a.jpg")
    write_image(tmp_path / images / "unlabelled.jpg")
    write_file(tmp_path / labels / "a.json", SQUARE)
    (tmp_path / labels / "settings.json").write_text("{}")
    assert labelme.splits(tmp_path) == names
    found = labelme.find(tmp_path, names[0] if names else None)
    ((path, drawn),) = found.pairs
    assert path == tmp_path / images / "a.jpg"
    assert found.classes == ("background", "cat")
    assert drawn.ids()[:3, :3].tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_classes_are_those_of_all_splits_or_of_a_list(tmp_path):
    for split, label in (("train", "sky"), ("val", "cat")):
        write_image(tmp_path / split / "a.jpg")
        write_file(tmp_path / split / "a.json", {**SQUARE, "label": label})
    found = [labelme.find(tmp_path, split) for split in ("train", "val")]
    assert [one.classes for one in found] == [("background", "cat", "sky")] * 2
    assert [one.pairs[0][1].ids()[0, 0] for one in found] == [2, 1]
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\nsky\n\n")
    found = [labelme.find(tmp_path, split) for split in ("train", "val")]
    assert [one.classes for one in found] == [("_background_", "sky")] * 2
    with pytest.raises(DataSetError, match=r"shape 0 of .*a\.json.*'cat'"):
        found[1].pairs[0][1].ids()


def test_shapes(tmp_path, caplog):
    ids = single(
        tmp_path,
        shape("cat", [[3, 2], [1, 0]], "rectangle"),
        shape("__ignore__", [[2, 4], [2, 5.2]], "circle"),
        shape("sky", [[0, 0], [3, 3]], "linestrip"),
        shape("sky", [[0, 0], [3, 3]], "linestrip"),
    )
    expected = np.zeros(SIZE, int)
    expected[0:2, 1:3] = 1
    expected[3:5, 1:3] = 255
    assert (ids == expected).all()
    assert sum("linestrip" in one.message for one in caplog.records) == 1


def test_masks(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(np.array([[1, 0], [1, 1]], np.uint8)).save(stream, "png")
    png = base64.b64encode(stream.getvalue()).decode()
    ids = single(tmp_path, shape("cat", [[2, 3], [3, 4]], "mask", mask=png))
    assert ids[3:5, 2:].tolist() == [[1, 0], [1, 1]] and ids.sum() == 3
    for damaged in (png[:40], "é", base64.b64encode(b"no png").decode()):
        with pytest.raises(DataSetError, match=r"shape 0 of .*a\.json"):
            single(tmp_path, shape("cat", [[2, 3], [3, 4]], "mask", mask=damaged))


def test_an_old_file_without_size(tmp_path):
    assert single(tmp_path, SQUARE, imageHeight=None).shape == SIZE


def test_images_of_another_name(tmp_path):
    for name in ("a", "b"):
        write_image(tmp_path / "images" / f"{name}.jpg")
    write_file(tmp_path / "json" / "a.json", SQUARE)
    write_file(tmp_path / "json" / "1.json", SQUARE, imagePath=r"..\images\b.jpg")
    names = {path.name for path, _ in labelme.find(tmp_path, None).pairs}
    assert names == {"a.jpg", "b.jpg"}
    for path in ("../../b.jpg", str(tmp_path / "images" / "b.jpg"), "c.jpg", 5):
        write_file(tmp_path / "json" / "1.json", SQUARE, imagePath=path)
        with pytest.raises(DataSetError, match=r"1\.json"):
            labelme.find(tmp_path, None)


@pytest.mark.parametrize(
    "wrong",
    [
        *([], {}, {"label": 5}, shape("cat", None), shape("cat", [[1]]), shape("cat", [["a", 1]])),
        *(shape("cat", [[1, 1]], "circle"), shape("cat", [[1, float("nan")]]), "abc"),
        shape("cat", [[1, 1]], ["x"]),
    ],
)
def test_what_cannot_be_drawn_is_named(tmp_path, wrong):
    (tmp_path / "labels.txt").write_text("cat")
    with pytest.raises(DataSetError, match=r"shape 0 of .*a\.json"):
        single(tmp_path, wrong)


def test_shapes_of_another_form_are_named_while_classes_are_collected(tmp_path):
    for wrong in ({"shapes": 5}, {"shapes": [5]}, {"shapes": [{}]}):
        with pytest.raises(DataSetError, match=r"a\.json"):
            single(tmp_path, **wrong)
