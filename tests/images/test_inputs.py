import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter.errors import ImageError, ImageNotFoundError, ImageTypeError
from modelscope_vitadapter.images.inputs import describe, read_image

RGB = np.random.default_rng(5).integers(0, 256, (5, 6, 3)).astype(np.uint8)
BGR = RGB[:, :, ::-1]
PICTURE = Image.fromarray(RGB)
STREAM = io.BytesIO()
PICTURE.save(STREAM, "PNG")
PNG = STREAM.getvalue()


@pytest.fixture(params=["photo.png", "my photo.png", "照片 1.png", "no_suffix"])
def path(request, tmp_path):
    path = tmp_path / request.param
    path.write_bytes(PNG)
    return path


def test_paths(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    for source in (path, str(path), path.name, Path(path.name), {"image": str(path)}):
        result = read_image(source)
        assert np.array_equal(result, BGR)
        assert result.flags.writeable
        assert result.flags.c_contiguous


@pytest.mark.parametrize(
    "source",
    [
        PNG,
        bytearray(PNG),
        memoryview(PNG),
        memoryview(np.frombuffer(PNG, np.int8)),
        PICTURE,
        np.array(BGR),
        BGR,
        BGR.astype(np.int64),
        {"image": PICTURE, "label": 3},
        {"InputImage:FILE": PNG},
        {"image": {"bytes": PNG, "path": None}},
    ],
)
def test_bytes_images_arrays_and_rows(source):
    assert np.array_equal(read_image(source), BGR)


def test_the_same_as_the_built_in_pipeline_for_what_it_accepts(path):
    assert np.array_equal(read_image(str(path)), np.array(PICTURE)[:, :, ::-1])
    assert np.array_equal(read_image(PICTURE), np.array(PICTURE)[:, :, ::-1])
    grey = RGB[:, :, 0].copy()
    assert np.array_equal(read_image(grey), cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
    floats = BGR.astype(np.float32) / 3
    result = read_image(floats)
    assert result.dtype == np.float32
    assert np.array_equal(result, floats)


def test_modelscopes_load_image_gives_the_same(path):
    from modelscope.preprocessors import load_image

    assert np.array_equal(read_image(str(path)), np.array(load_image(str(path)))[:, :, ::-1])


def test_exif_turns_rows_and_bytes_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    PICTURE.save(tmp_path / "a.png", exif=exif)
    turned = np.rot90(BGR, -1)
    content = (tmp_path / "a.png").read_bytes()
    for source in (tmp_path / "a.png", content, {"image": content}, {"img": tmp_path / "a.png"}):
        assert np.array_equal(read_image(source), turned)


class BytesPath:
    def __fspath__(self):
        return b"a.png"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (None, "None is no image: expected a path"),
        (7, r"builtins\.int is no image"),
        (3.5, "builtins.float"),
        (object(), "builtins.object"),
        ([PICTURE], "builtins.list"),
        ((1, 2), "builtins.tuple"),
        (io.BytesIO(PNG), "BytesIO"),
        (BytesPath(), "BytesPath"),
        ({"label": 3, "id": 4}, "none can be"),
        ({"image": 3}, "builtins.int"),
        ({"image": [1]}, "builtins.list"),
        (np.array(["a.png"]), "elements of type"),
    ],
)
def test_types_that_hold_no_image_are_type_errors(source, words):
    with pytest.raises(ImageTypeError, match=words) as caught:
        read_image(source)
    assert isinstance(caught.value, TypeError)
    assert len(caught.value.args) == 1


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "an empty string is no image"),
        ("file:///etc/hostname", "scheme 'file' are not read"),
        ("FILE:///etc/hostname", "scheme 'FILE'"),
        ("oss://bucket/a.png", "scheme 'oss'"),
        ("ftp://example.org/a.png", "scheme 'ftp'"),
        ("data:image/png;base64,iVBORw0KGgo=", "data URL.*b64decode"),
        (b"", "0 bytes is empty"),
        (b"hello", "5 bytes is no picture"),
        (PNG[: len(PNG) // 2], "cannot be decoded"),
        (np.zeros((0, 4, 3), np.uint8), "is empty"),
        (np.zeros((4, 4, 5), np.uint8), r"shape \(4, 4, 5\)"),
        (Image.new("L", (0, 4)), "is empty"),
    ],
)
def test_values_that_are_no_image_are_value_errors(source, words):
    with pytest.raises(ImageError, match=words) as caught:
        read_image(source)
    assert isinstance(caught.value, ValueError)
    assert not isinstance(caught.value, TypeError | FileNotFoundError)
    assert len(caught.value.args) == 1


def test_files_that_are_no_image(tmp_path):
    (tmp_path / "notes.txt").write_text("hello", encoding="utf-8")
    (tmp_path / "empty.png").touch()
    (tmp_path / "half.png").write_bytes(PNG[: len(PNG) // 2])
    for name, words in (
        ("notes.txt", "is no picture"),
        ("empty.png", "is empty"),
        ("half.png", "cannot be decoded"),
        (".", "is a directory"),
    ):
        with pytest.raises(ImageError, match=words) as caught:
            read_image(tmp_path / name)
        assert tmp_path.name in str(caught.value) or name in str(caught.value)


def test_a_missing_file_is_a_file_not_found_error(tmp_path):
    for source in (str(tmp_path / "missing.png"), {"image": tmp_path / "missing.png"}):
        with pytest.raises(ImageNotFoundError, match=r"missing\.png' does not exist") as caught:
            read_image(source)
        assert isinstance(caught.value, FileNotFoundError)


def test_the_pixel_limit_reaches_files_and_images(path):
    for source in (path, PNG, PICTURE):
        with pytest.raises(ImageError, match="30 pixels"):
            read_image(source, max_pixels=29)
    assert read_image(np.array(BGR), max_pixels=1).shape == (5, 6, 3)


def test_describe_is_exported():
    assert describe(None) == "None"
