from collections import UserDict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter.errors import ImageTypeError
from modelscope_vitadapter.images.columns import image_column

ARRAY = np.zeros((2, 2, 3), np.uint8)
PICTURE = Image.new("RGB", (2, 2))


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ({"InputImage:FILE": "a.jpg"}, "InputImage:FILE"),
        ({"InputImage:FILE": "a.jpg", "SegImage:FILE": "b.png", "id": 7}, "InputImage:FILE"),
        ({"image": PICTURE, "label": "b.png"}, "image"),
        ({"img": ARRAY, "mask": ARRAY}, "img"),
        ({"Image": "no suffix"}, "Image"),
        ({"input": b"x", "a": None}, "input"),
        ({"file": Path("a.jpg")}, "file"),
        ({"image": None, "img": "b.jpg"}, "img"),
        ({"anything": "no suffix"}, "anything"),
        ({"photo": "a.JPG", "label": "cat", "id": 3}, "photo"),
        ({"photo": "https://example.org/x", "label": "cat"}, "photo"),
        ({"photo": ARRAY, "box": np.zeros(4), "score": 0.5}, "photo"),
        ({"photo": PICTURE, "names": ["a.jpg"]}, "photo"),
        ({"photo": bytearray(b"x"), "label": "cat"}, "photo"),
        ({"photo": memoryview(b"x"), "label": "cat"}, "photo"),
        ({"photo": Path("x"), "label": "cat"}, "photo"),
        (UserDict({"photo": "a.png", 3: 4}), "photo"),
    ],
)
def test_the_image_column_is_found(row, key):
    assert image_column(row) is row[key]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"bytes": b"x", "path": None}, b"x"),
        ({"bytes": b"x", "path": "inside.jpg"}, b"x"),
        ({"bytes": None, "path": "a.jpg"}, "a.jpg"),
        ({"path": "a.jpg"}, "a.jpg"),
        ({"image": {"bytes": b"x", "path": "a.jpg"}, "label": 1}, b"x"),
        ({"photo": {"bytes": b"x", "path": "a.jpg"}, "label": "cat"}, b"x"),
    ],
)
def test_pictures_as_hugging_face_stores_them(row, expected):
    assert image_column(row) == expected


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({}, "none can be"),
        ({"bytes": None, "path": None}, "none can be"),
        ({"label": "cat", "id": 7}, r"\['label', 'id'\].*none can be"),
        ({"image": "a.jpg", "img": "b.jpg"}, r"several columns can be it: \['image', 'img'\]"),
        ({"left": "a.jpg", "right": "b.jpg", "id": 1}, r"can be it: \['left', 'right'\]"),
        ({"photo": ARRAY, "mask": ARRAY}, "several columns"),
        ({"image": {"image": "a.jpg"}}, "inside another dict"),
    ],
)
def test_rows_without_one_image_are_refused(row, words):
    with pytest.raises(ImageTypeError, match=words) as caught:
        image_column(row)
    assert "keys" in str(caught.value)
