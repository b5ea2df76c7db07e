from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter.images.naming import describe, is_url


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (Path("照片 1.jpg"), "image file '照片 1.jpg'"),
        ("", "an empty string"),
        ("HTTPS://example.org/a.jpg", "URL 'https://example.org/a.jpg'"),
        ("http://me:secret@example.org:81/a?key=secret#x", "URL 'http://example.org:81/a?...'"),
        ("http://[broken/a?key=secret", "URL 'http://[broken/a'"),
        ("http://me:secret@[broken/a", "URL 'http://...'"),
        ("http://me:sec/ret@example.org/a", "URL 'http://...'"),
        ("http://me:sec?ret@example.org/a", "URL 'http://...'"),
        ("http://example.org/@me/a.jpg", "URL 'http://example.org/@me/a.jpg'"),
        ("ftp://me:secret@example.org/a", "address 'ftp://example.org/a'"),
        (bytearray(4), "4 bytes"),
        (memoryview(np.zeros(3, np.int16)), "6 bytes"),
        (Image.new("LA", (4, 3)), "PIL image (mode LA, height 3, width 4)"),
        (np.zeros((3, 4), np.int16), "array of shape (3, 4), int16"),
        ({"a": 1, 2: "b"}, "dict with keys ['a', '2']"),
        (None, "None"),
        (7, "object of type builtins.int"),
    ],
)
def test_inputs_have_short_names_without_secrets(source, name):
    assert describe(source) == name


@pytest.mark.parametrize("source", ["x" * 9999, "http://h/" + "x" * 9999, {"k" * 9999: 1}])
def test_names_of_long_inputs_are_cut(source):
    assert len(describe(source)) < 160


def test_urls_are_told_from_paths():
    assert [is_url(text) for text in ("http://a", "HTTPS://a", "ftp://a", "http.jpg", "")] == [
        *(True, True, False, False, False)
    ]
