import io

import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter.datasets.label_maps import read_label_map
from modelscope_vitadapter.errors import DataSetError, DataSetNotFoundError

IDS = np.array([[0, 1, 2], [3, 200, 255]], np.uint8)
WIDE = IDS.astype(np.uint16) * 257


def encoded(picture, kind="PNG", **options):
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def with_palette():
    """Every index has the same colour."""
    picture = Image.fromarray(IDS, "L").convert("P")
    picture.putdata(IDS.ravel().tolist())
    picture.putpalette([7] * 768)
    return picture


def turned_by_exif():
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(Image.fromarray(IDS), exif=exif)


@pytest.mark.parametrize(
    ("source", "ids"),
    [
        *((encoded(Image.fromarray(IDS), kind), IDS) for kind in ("PNG", "TIFF", "BMP")),
        *((encoded(Image.fromarray(WIDE), kind), WIDE) for kind in ("PNG", "TIFF")),
        (encoded(with_palette()), IDS),
        (turned_by_exif(), IDS),
        (IDS[:, :, None], IDS),
        ({"bytes": encoded(Image.fromarray(IDS)), "path": "inside/archive.png"}, IDS),
        *((one, IDS > 2) for one in (IDS > 2, Image.fromarray(IDS > 2))),
        (encoded(Image.fromarray(IDS > 2)), IDS > 2),
    ],
)
def test_ids_come_as_they_were_stored(source, ids):
    found = read_label_map(source, "x")
    assert found.dtype.kind in "ui"
    np.testing.assert_array_equal(found, ids)


def test_files(tmp_path):
    path = tmp_path / "标签 1.png"
    Image.fromarray(IDS).save(path)
    for source in (path, str(path), Image.open(path), {"bytes": None, "path": str(path)}):
        np.testing.assert_array_equal(read_label_map(source, "x"), IDS)
    with pytest.raises(DataSetNotFoundError, match="the map of x does not exist"):
        read_label_map(tmp_path / "x.png", "the map of x")


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
    with pytest.raises(DataSetError, match=r"label map 'x\.png'.*expected") as caught:
        read_label_map(source, "label map 'x.png'")
    assert says in str(caught.value)
