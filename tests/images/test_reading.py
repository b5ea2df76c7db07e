import io
import subprocess
import sys
from collections import UserDict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter.errors import ImageError, ImageNotFoundError, ImageTypeError
from modelscope_vitadapter.images import fetch
from modelscope_vitadapter.images.naming import describe
from modelscope_vitadapter.images.options import ReadOptions
from modelscope_vitadapter.images.reading import image_column, read_image
from tests.images.makers import BGR, PICTURE, encode

PNG = encode(PICTURE, "PNG")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (Path("照片 1.jpg"), "image file '照片 1.jpg'"),
        ("", "an empty string"),
        ("http.jpg", "image file 'http.jpg'"),
        ("HTTPS://example.org/a.jpg", "URL 'https://example.org/a.jpg'"),
        ("http://me:secret@example.org:81/a?key=secret#x", "URL 'http://example.org:81/a?...'"),
        ("http://[broken/a?key=secret", "URL 'http://[broken/a'"),
        ("http://me:secret@[broken/a", "URL 'http://...'"),
        ("http://me:sec/ret@example.org/a", "URL 'http://...'"),
        ("http://me:sec?ret@example.org/a", "URL 'http://...'"),
        ("http://example.org/@me/a.jpg", "URL 'http://example.org/@me/a.jpg'"),
        ("ftp://me:secret@example.org/a", "address 'ftp://example.org/a'"),
        (memoryview(np.zeros(3, np.int16)), "6 bytes"),
        (Image.new("LA", (4, 3)), "PIL image (mode LA, height 3, width 4)"),
        (np.zeros((3, 4), np.int16), "array of shape (3, 4), int16"),
        ({"a": 1, 2: "b"}, "dict with keys ['a', '2']"),
        (7, "object of type builtins.int"),
    ],
)
def test_inputs_have_short_names_without_secrets(source, name):
    assert describe(source) == name


@pytest.mark.parametrize("source", ["x" * 9999, "http://h/" + "x" * 9999, {"k" * 9999: 1}])
def test_names_of_long_inputs_are_cut(source):
    assert len(describe(source)) < 160


def test_bytes_relative_paths_and_rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("照片 1.png")
    path.write_bytes(PNG)
    rows = [{"image": PICTURE, "label": 3}, {"img": str(path)}, {"image": {"bytes": PNG}}]
    for source in (bytearray(PNG), memoryview(np.frombuffer(PNG, np.int8)), path, str(path), *rows):
        assert np.array_equal(read_image(source), BGR)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ([PICTURE], r"builtins\.list is no image: expected a path"),
        (io.BytesIO(PNG), "pass what its read"),
        (SimpleNamespace(numpy=None), "permute"),
        ({"label": 3, "id": 4}, "none can be"),
        ({"image": 3}, "builtins.int"),
        ({"image": {"image": "a.jpg"}}, r"dict with keys \['image'\] is no image"),
    ],
)
def test_types_that_hold_no_image_are_type_errors(source, words):
    with pytest.raises(ImageTypeError, match=words):
        read_image(source)


def test_the_limit_and_the_check_reach_every_form():
    def refuse(name, size):
        raise ImageError(f"{name}: {size}")

    for source in (PNG, PICTURE, np.array(BGR), BGR[:, :, 0], {"image": PNG}):
        with pytest.raises(ImageError, match=r": \(24, 32\)$"):
            read_image(source, check_size=refuse)
    for source in (PNG, PICTURE, {"image": PNG}):
        with pytest.raises(ImageError, match="768 pixels"):
            read_image(source, options=ReadOptions(max_pixels=767))
    assert read_image(np.array(BGR), options=ReadOptions(max_pixels=1)).shape == BGR.shape


def test_files_have_a_limit_and_a_name_that_can_be(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    monkeypatch.setattr(fetch, "MAX_FILE_BYTES", len(PNG))
    assert fetch.read_file(path) == PNG
    monkeypatch.setattr(fetch, "MAX_FILE_BYTES", len(PNG) - 1)
    with pytest.raises(ImageError, match="holds more than"):
        fetch.read_file(path)
    with pytest.raises(ImageNotFoundError, match="does not exist"):
        fetch.read_file(path / "a")
    for name in ("a\0b.png", "x" * 5000):
        with pytest.raises(ImageError, match="image file"):
            fetch.read_file(Path(name))


ARRAY = np.zeros((2, 2, 3), np.uint8)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"InputImage:FILE": "a.jpg", "SegImage:FILE": "b.png", "id": 7}, "a.jpg"),
        ({"image": PICTURE, "label": "b.png"}, PICTURE),
        ({"image": None, "img": "b.jpg"}, "b.jpg"),
        ({"anything": "no suffix"}, "no suffix"),
        ({"photo": "https://example.org/x", "label": "cat"}, "https://example.org/x"),
        ({"photo": ARRAY, "box": np.zeros(4), "score": 0.5}, ARRAY),
        ({"photo": PNG, "names": ["a.jpg"]}, PNG),
        (UserDict({"photo": "a.JPG", 3: 4}), "a.JPG"),
        ({"photo": "a.jfif", "label": "cat"}, "a.jfif"),
        ({"photo": "a.jpe", "label": "cat"}, "a.jpe"),
        ({"photo": "a.HEIF", "label": "cat"}, "a.HEIF"),
        ({"bytes": PNG, "path": "inside.jpg"}, PNG),
        ({"bytes": None, "path": "a.jpg"}, "a.jpg"),
        ({"photo": {"bytes": PNG, "path": "a.jpg"}, "label": "cat"}, PNG),
    ],
)
def test_the_image_column_is_found(row, expected):
    assert image_column(row) is expected


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"bytes": None, "path": None}, "none can be"),
        ({"label": "cat", "id": 7}, r"\['label', 'id'\].*none can be"),
        ({"image": "a.jpg", "img": "b.jpg"}, r"several columns can be it: \['image', 'img'\]"),
        ({"left": "a.jpg", "right": "b.jpg", "id": 1}, r"can be it: \['left', 'right'\]"),
    ],
)
def test_rows_without_one_image_are_refused(row, words):
    with pytest.raises(ImageTypeError, match=f"keys.*{words}"):
        image_column(row)


READ_AND_MEASURE = """
import sys
from modelscope_vitadapter.images.reading import read_image
from tests.support.peak import peak

read_image(sys.argv[1])
before = peak()
read_image(sys.argv[2])
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process")
@pytest.mark.parametrize(("orientation", "most"), [(1, 190), (6, 215)])
def test_reading_takes_little_more_than_pillows_image_and_the_result(tmp_path, orientation, most):
    """24 megapixels are 72 MB as an array and 96 MB in Pillow; turned, 96 MB twice for a while."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    small, large = tmp_path / "small.jpg", tmp_path / "large.jpg"
    PICTURE.save(small, exif=exif)
    PICTURE.resize((6000, 4000)).save(large, exif=exif)
    command = [sys.executable, "-c", READ_AND_MEASURE, small, large]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    assert 72 < int(done.stdout) / 1e6 < most
