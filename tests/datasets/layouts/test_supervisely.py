"""Supervisely's projects: datasets, shapes, bitmaps, label maps for machines, what is refused."""

import base64
import io
import json
import zlib

import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter.datasets.label_maps import read_label_map
from modelscope_vitadapter.datasets.layouts import supervisely
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from tests.datasets.makers import SIZE, write_image

SIZES = {"height": SIZE[0], "width": SIZE[1]}


def polygon(exterior, interior=(), kind="polygon"):
    points = {"exterior": exterior, "interior": list(interior)}
    return {"classTitle": "cat", "geometryType": kind, "points": points}


def packed(pixels, mode=None, **options):
    stream = io.BytesIO()
    found = Image.fromarray(np.asarray(pixels, np.uint8))
    (found.convert(mode) if mode else found).save(stream, "png", **options)
    return base64.b64encode(zlib.compress(stream.getvalue())).decode()


def bitmap(data, origin=(1, 2)):
    bitmap = {"data": data, "origin": list(origin)}
    return {"classTitle": "sky", "geometryType": "bitmap", "bitmap": bitmap}


SQUARE = polygon([[0, 0], [3, 0], [3, 3], [0, 3]], [[[1, 1], [2, 1], [2, 2], [1, 2]]])


def project(root, *objects, dataset="ds0", **changes):
    write_image(root / dataset / "img" / "a.jpg")
    (root / dataset / "ann").mkdir(exist_ok=True)
    content = {"size": SIZES, "objects": list(objects), **changes}
    (root / dataset / "ann" / "a.jpg.json").write_text(json.dumps(content))
    classes = [{"title": one, "shape": "any", "color": "#000000"} for one in ("sky", "cat")]
    (root / "meta.json").write_text(json.dumps({"classes": classes}))
    return root


def ids_of(root, split="ds0"):
    return supervisely.find(root, split).pairs[0][1].ids()


def test_datasets_are_splits(tmp_path):
    assert supervisely.splits(tmp_path) is None
    for name in ("val", "train"):
        project(tmp_path, SQUARE, dataset=name)
    assert supervisely.splits(tmp_path) == ["train", "val"]
    found = supervisely.find(tmp_path, "val")
    assert found.pairs[0][0] == tmp_path / "val" / "img" / "a.jpg"
    assert found.classes == ("background", "sky", "cat")
    assert ids_of(tmp_path, "val").tolist()[:4] == [
        [2, 2, 2, 0],
        [2, 0, 2, 0],
        [2, 2, 2, 0],
        [0] * 4,
    ]


def test_rectangles_name_their_last_pixel(tmp_path, caplog):
    line = polygon([[0, 0], [3, 3]], kind="line")
    ids = ids_of(project(tmp_path, polygon([[2, 1], [1, 0]], kind="rectangle"), line))
    assert ids.tolist() == [[0, 2, 2, 0]] * 2 + [[0] * 4] * 4
    assert "line" in caplog.text


def test_bitmaps(tmp_path):
    clear = np.zeros((2, 2, 4), np.uint8)
    clear[:, :, 0], clear[1, :, 3] = 255, 1  # colour everywhere, opaque below only
    palette = packed([[3, 3], [0, 0]], "P", transparency=3)
    two_colours = packed([[0, 0], [255, 255]], "1")
    for data in (packed([[0, 0], [9, 9]]), packed(clear), two_colours, palette):
        ids = ids_of(project(tmp_path, bitmap(data)))
        assert ids[3].tolist() == [0, 1, 1, 0] and ids.sum() == 2


@pytest.mark.parametrize(
    "wrong",
    [
        *(bitmap("é"), bitmap("AAAA"), bitmap(packed([[1]])[:-8]), bitmap(packed([[1]]), [1])),
        bitmap(packed(np.ones((7, 4)))),  # larger than the image
        *(
            {},
            5,
            polygon(None),
            polygon([[1, "a"]]),
            polygon([], [5]),
            {**SQUARE, "classTitle": "x"},
        ),
        polygon([[1, 1]], kind="rectangle"),
    ],
)
def test_what_cannot_be_drawn_is_named(tmp_path, wrong):
    with pytest.raises(DataSetError, match=r"object 0 of .*a\.jpg\.json"):
        ids_of(project(tmp_path, wrong))


def test_bitmaps_are_unpacked_no_further_than_their_image_needs(tmp_path):
    bomb = base64.b64encode(zlib.compress(bytes(10**6))).decode()
    with pytest.raises(DataSetError, match="larger than its image"):
        ids_of(project(tmp_path, bitmap(bomb)))


def test_files_of_another_form_are_refused(tmp_path):
    with pytest.raises(DataSetError, match=r"a\.jpg\.json"):
        ids_of(project(tmp_path, size=[6, 4]))
    (tmp_path / "ds0" / "ann" / "a.jpg.json").unlink()
    with pytest.raises(DataSetNotFoundError, match=r"a\.jpg\.json"):
        ids_of(tmp_path)
    (tmp_path / "meta.json").write_text('{"classes": {}}')
    with pytest.raises(DataSetError, match=r"meta\.json"):
        ids_of(tmp_path)


def test_label_maps_for_machines(tmp_path):
    project(tmp_path, SQUARE)
    path = write_image(tmp_path / "ds0" / "masks_machine" / "a.png", value=1)
    found = supervisely.find(tmp_path, "ds0")
    assert found.classes is None
    assert read_label_map(found.pairs[0][1], "x").tolist() == np.ones(SIZE).tolist()
    colors = tmp_path / "obj_class_to_machine_color.json"
    colors.write_text('{"cat": [2, 2, 2], "sky": [1, 1, 1]}')
    assert supervisely.find(tmp_path, "ds0").classes == ("background", "sky", "cat")
    colors.write_text('{"cat": [7, 7, 7]}')
    assert supervisely.find(tmp_path, "ds0").classes is None
    path.unlink()
    assert supervisely.find(tmp_path, "ds0").pairs[0][1] is None
