from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter.images.naming import describe, is_url
from modelscope_vitadapter.validation import LONGEST_NAME


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("照片 1.jpg", "image file '照片 1.jpg'"),
        (Path("a.jpg"), "image file 'a.jpg'"),
        ("", "an empty string"),
        ("HTTPS://example.org/a.jpg", "URL 'https://example.org/a.jpg'"),
        ("http://me:secret@example.org:81/a?key=secret#x", "URL 'http://example.org:81/a?...'"),
        ("http://[broken/a?key=secret", "URL 'http://[broken/a'"),
        ("http://me:secret@[broken/a", "URL 'http://...'"),
        ("http://me:sec/ret@example.org/a", "URL 'http://...'"),
        ("http://me:sec?ret@example.org/a", "URL 'http://...'"),
        ("http://example.org/@me/a.jpg", "URL 'http://example.org/@me/a.jpg'"),
        ("ftp://me:secret@example.org/a", "address 'ftp://example.org/a'"),
        (b"abc", "3 bytes"),
        (bytearray(4), "4 bytes"),
        (memoryview(b"abc"), "memoryview of 3 bytes"),
        (Image.new("LA", (4, 3)), "PIL image (mode LA, height 3, width 4)"),
        (np.zeros((3, 4), np.int16), "array of shape (3, 4), int16"),
        ({"a": 1, 2: "b"}, "dict with keys ['a', '2']"),
        (None, "None"),
        (7, "object of type builtins.int"),
    ],
)
def test_inputs_have_short_names(source, name):
    assert describe(source) == name


@pytest.mark.parametrize(
    "source", ["x" * 10_000, "http://h/" + "x" * 10_000, {"k" * 10_000: 1}, bytes(10_000)]
)
def test_names_of_long_inputs_are_cut(source):
    assert len(describe(source)) < LONGEST_NAME + 40


@pytest.mark.parametrize(
    ("text", "answer"),
    [("http://a", True), ("HTTPS://a", True), ("ftp://a", False), ("http.jpg", False), ("", False)],
)
def test_urls_are_told_from_paths(text, answer):
    assert is_url(text) is answer
