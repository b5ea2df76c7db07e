import io

import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter.datasets.label_maps import read_label_map
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError

IDS = np.array([[0, 1, 2], [3, 200, 255]], np.uint8)


def encoded(picture, kind="PNG", **options):
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def with_palette(colours):
    picture = Image.fromarray(IDS, "L").convert("P")
    picture.putdata(IDS.ravel().tolist())
    picture.putpalette(colours)
    return picture


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_8_bits_as_stored(kind):
    np.testing.assert_array_equal(read_label_map(encoded(Image.fromarray(IDS), kind), "x"), IDS)


def test_indexes_of_a_palette_count_not_its_colours():
    content = encoded(with_palette([7] * 768))  # every index has the same colour
    np.testing.assert_array_equal(read_label_map(content, "x"), IDS)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_as_stored(kind):
    ids = IDS.astype(np.uint16) * 257
    np.testing.assert_array_equal(read_label_map(encoded(Image.fromarray(ids), kind), "x"), ids)


def test_bits_are_0_and_1():
    bits = IDS > 2
    for source in (bits, Image.fromarray(bits), encoded(Image.fromarray(bits))):
        ids = read_label_map(source, "x")
        assert ids.dtype == np.uint8
        np.testing.assert_array_equal(ids, bits)


def test_paths_pictures_arrays_and_stored_pictures(tmp_path):
    path = tmp_path / "标签 1.png"
    Image.fromarray(IDS).save(path)
    stored = {"bytes": path.read_bytes(), "path": "inside/archive.png"}
    for source in (path, str(path), Image.open(path), IDS, IDS[:, :, None], stored):
        np.testing.assert_array_equal(read_label_map(source, "x"), IDS)


def test_orientation_tags_turn_no_label_map():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(Image.fromarray(IDS), exif=exif)
    np.testing.assert_array_equal(read_label_map(content, "x"), IDS)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (encoded(Image.fromarray(IDS).convert("RGB")), "colours"),
        (encoded(Image.fromarray(IDS).convert("LA")), "colours"),
        (encoded(Image.fromarray(IDS), "JPEG"), "JPEG"),
        (encoded(Image.fromarray(IDS).convert("RGB"), "WEBP"), "WEBP"),
        (b"", "empty"),
        (b"no picture", "can't be read"),
        (encoded(Image.fromarray(IDS))[:50], "can't be read"),
        (IDS.astype(float), "float64"),
        (np.zeros((2, 3, 3), np.uint8), "(2, 3, 3)"),
        (np.zeros((0, 3), np.uint8), "(0, 3)"),
        (None, "object"),
    ],
)
def test_refusals_name_the_map_and_what_was_expected(source, says):
    with pytest.raises(DataSetError) as caught:
        read_label_map(source, "label map 'x.png'")
    assert "label map 'x.png'" in str(caught.value)
    assert says in str(caught.value)
    assert "expected" in str(caught.value) or "can't be read" in str(caught.value)


def test_a_missing_file_is_its_own_error(tmp_path):
    with pytest.raises(DataSetNotFoundError, match="the map of x does not exist"):
        read_label_map(tmp_path / "x.png", "the map of x")
