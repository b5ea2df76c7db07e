"""TIFF files that Pillow can't open, or of which bands are chosen."""

import os
import socket
import sys

import numpy as np
import pytest
import rasterio

from modelscope_vitadapter.errors import ImageError, ImageMemoryError
from modelscope_vitadapter.images import tiff
from modelscope_vitadapter.images.options import ReadOptions
from modelscope_vitadapter.images.reading import read_image, read_oriented_image
from tests.images.makers import (
    BGR,
    GREY_16,
    PICTURE,
    RGB,
    encode,
    geotiff,
    tiff_of_16_bits,
    turned,
)

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
BANDS_8 = np.stack([RGB[:, :, k % 3] // (k // 3 + 1) for k in range(8)])
NATURAL = ReadOptions(bands=(1, 2, 3))


def read(content, **options):
    return read_image(content, options=ReadOptions(**options))


@pytest.mark.parametrize(
    "content",
    [
        geotiff(BANDS_8),
        geotiff(BANDS_8[:5], photometric="minisblack", interleave="band", tiled=True),
        encode(PICTURE, "TIFF"),
        encode(PICTURE, "TIFF", compression="jpeg", quality=100),
    ],
)
def test_bands_that_are_chosen(content):
    natural = read(content, bands=(1, 2, 3))
    assert np.abs(natural.astype(int) - BGR).max() < 60  # of JPEG
    assert np.array_equal(read(content, bands=(3, 2, 1)), natural[:, :, ::-1])
    assert np.array_equal(read(content, bands=(2,)), np.repeat(natural[:, :, 1:2], 3, axis=2))
    with pytest.raises(ImageError, match=r"has \d bands, .* at least 9 for bands=\(1, 2, 9\)"):
        read(content, bands=(1, 2, 9))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (geotiff(BANDS_8[:4], photometric="minisblack"), BGR),
        (geotiff(BANDS_8[:4].astype(np.uint16) * 257, photometric="minisblack"), BGR),
        (geotiff(BANDS_8[:3].astype(np.uint16) * 257, photometric="rgb", compress="zstd"), BGR),
        (geotiff(BANDS_8[:3].astype(np.int16)), BGR),
        (geotiff(BANDS_8[:3], compress="lerc", photometric="rgb"), BGR),
        (geotiff(BANDS_8[:3].astype(np.float32)), BGR.astype(np.float32)),
    ],
)
def test_files_of_at_most_four_bands_need_no_choice(content, expected):
    found = read(content)
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


def test_what_has_no_data_is_black():
    reflectance = (BANDS_8[:3] / 255).astype(np.float32)
    reflectance[:, 0, 0], reflectance[:, 0, 1] = np.nan, -9999
    found = read(geotiff(reflectance, nodata=-9999), value_range=(-1, 1))
    assert found[0, :2].tolist() == [[0] * 3] * 2
    assert found[1:].min() >= 127
    found = read(geotiff(reflectance * 255, nodata=-9999 * 255))
    assert found.dtype == np.float32
    assert found[0, :2].tolist() == [[0] * 3] * 2


@pytest.mark.parametrize(
    ("bands", "words"),
    [
        (BANDS_8, r"a TIFF of 8 bands, uint8, values 0 to 255; .* bands=\(3, 2, 1\)$"),
        (BANDS_8[:5] / 255, r"5 bands, float64, values 0.0 to 1.0; .*value_range=\(0.0, 1.0\)$"),
        (BANDS_8.astype(np.uint16) * 9, r"values 0 to 2295; .*value_range=\(0, 4095\)$"),
        (BANDS_8[:3].astype(np.int16) - 9, r"from -9 to 246 \(int16\).*value_range=\(-9, 246\)$"),
        (BANDS_8[:3].astype(np.complex64), "complex64"),
    ],
)
def test_refusals_say_what_to_choose(bands, words):
    with pytest.raises(ImageError, match=words):
        read(geotiff(bands))


def test_without_rasterio_the_message_says_what_to_install(monkeypatch):
    content = geotiff(BANDS_8.astype(np.uint16))
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(ImageError, match=r"TIFF of 8 bands, uint16, .*pip install .*\[geo\]"):
        read(content, bands=(1,))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_to_chosen_bands(orientation):
    content = turned("TIFF", orientation)
    found = read_oriented_image(content, options=NATURAL)
    assert np.array_equal(found[0], read(content))
    assert found[1] == orientation
    assert np.array_equal(read(content, bands=(1, 2, 3), exif="ignore"), BGR)


def test_sizes_are_checked_before_anything_is_decoded(monkeypatch):
    def refuse(name, size):
        raise ImageMemoryError(f"{name}: {size}")

    content = geotiff(BANDS_8)
    with pytest.raises(ImageError, match=r"at most 767; .*max_pixels=768; .*segment_geotiff"):
        read(content, bands=(1,), max_pixels=767)
    with pytest.raises(ImageMemoryError, match=r"\(24, 32\); .*segment_geotiff"):
        read_image(content, options=ReadOptions(bands=(1,)), check_size=refuse)
    for limit in ("MAX_DECODED", "MAX_BLOCK"):
        monkeypatch.setattr(tiff, limit, 6143)
        with pytest.raises(ImageError, match=r"takes \d+ bytes"):
            read(geotiff(BANDS_8, tiled=True, blockxsize=64, blockysize=64), bands=(1,))
        monkeypatch.undo()


@pytest.mark.parametrize("cut", [0.3, 0.8])
def test_files_that_are_cut_short_are_damaged(cut):
    content = geotiff(BANDS_8[:4], photometric="minisblack")
    with pytest.raises(ImageError, match=r"save it anew|convert it"):
        read(content[: int(len(content) * cut)])


def test_colours_that_are_no_rgb_are_refused_unless_bands_are_chosen():
    content = bytearray(tiff_of_16_bits(3, 2))
    place = content.index(b"\x06\x01\x04\0\1\0\0\0\2\0\0\0")
    content[place + 8] = 8  # LAB of 16 bits
    with pytest.raises(ImageError, match=r"PhotometricInterpretation 8\)"):
        read(bytes(content))
    assert read(bytes(content), bands=(1,)).shape == BGR.shape


def test_no_file_leads_to_others(tmp_path):
    """GDAL follows a file's metadata to overviews elsewhere, but not in what is read here."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.settimeout(0.1)
        address = f"/vsicurl/http://127.0.0.1:{door.getsockname()[1]}/a.tif"
        content = geotiff(BANDS_8, {"OVERVIEWS": {"OVERVIEW_FILE": address}})
        assert address.encode() in content
        read(content, bands=(1, 2, 3))
        with pytest.raises(ImageError):
            read(content)
        with pytest.raises(TimeoutError):
            door.accept()
        with (
            rasterio.Env(GDAL_HTTP_TIMEOUT=1, GDAL_HTTP_MAX_RETRY=0),
            rasterio.MemoryFile(content) as file,
            file.open() as source,
        ):
            source.overviews(1)
        door.accept()[0].close()  # else the door is deaf
    xml = f"<VRTDataset rasterXSize='2' rasterYSize='2'><x>{os.fspath(tmp_path)}</x></VRTDataset>"
    with pytest.raises(ImageError, match="is no image that is read"):
        read(xml.encode(), bands=(1,))


def test_grey_of_16_bits_by_either_reader_is_the_same():
    content = geotiff(GREY_16[None])
    assert np.array_equal(read(content, bands=(1,)), read(content))
