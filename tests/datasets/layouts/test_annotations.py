"""What layouts share: class order, files read with care, sizes of images."""

import json

import pytest
from PIL import Image

from modelscope_vitadapter.datasets.layouts import annotations
from modelscope_vitadapter.datasets.layouts.annotations import (
    class_names,
    inside,
    read_json,
    upright_size,
)
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError
from modelscope_vitadapter.images.reading import read_image


def test_background_is_class_0():
    assert class_names(["sky", "cat", "sky"]).names == ("background", "sky", "cat")
    for name in ("background", "_background_", "__background__", "Background"):
        assert class_names(["sky", name, "cat"]).names == (name, "sky", "cat")
    with pytest.raises(
        DataSetError, match=r"shape 2 is of class 'dog'; expected one of background, cat"
    ):
        class_names(["cat"]).id_of("dog", "shape 2")


@pytest.mark.parametrize(
    "content",
    [b"{", b"[1]", b"\xff\xfe", b"[" * 100_000, b'{"a": 1' + b"0" * 5000 + b"}", b"null", b""],
)
def test_what_is_no_json_object_is_refused_by_name(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(DataSetError, match=r"x\.json"):
        read_json(tmp_path / "x.json")


def test_files_are_read_with_care(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    with pytest.raises(DataSetNotFoundError, match=r"x\.json"):
        read_json(path)
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"名": 1}).encode())
    assert read_json(path) == {"名": 1}
    monkeypatch.setattr(annotations, "MAX_BYTES", 5)
    with pytest.raises(DataSetError, match="expected at most 5"):
        read_json(path)


def test_names_of_files_stay_within_the_dataset(tmp_path):
    assert inside(tmp_path, r"a\..\b\x.jpg", "") == tmp_path / "b" / "x.jpg"
    for name in (
        "/etc/passwd",
        "../x",
        "a/../../x",
        r"..\x",
        r"C:\x",
        "c:x",
        r"\\host\x",
        "..",
        "",
    ):
        with pytest.raises(DataSetError, match="object 1 names the file"):
            inside(tmp_path, name, "object 1")


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "tga"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_sizes_are_those_of_upright_images(tmp_path, suffix, orientation):
    path = tmp_path / f"x.{suffix}"
    exif = Image.Exif()
    exif[annotations.ORIENTATION] = orientation
    Image.new("RGB", (7, 5)).save(path, exif=exif)
    assert upright_size(path) == read_image(path).shape[:2]


def test_images_without_a_size(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"no image")
    for name, says in (("x.jpg", "cannot identify"), ("y.jpg", "does not exist")):
        with pytest.raises(DataSetError, match=rf"{name}.* {says}"):
            upright_size(tmp_path / name)
