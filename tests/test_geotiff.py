import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine

from modelscope_vitadapter.errors import ImageError, ImageNotFoundError
from modelscope_vitadapter.geotiff import segment_geotiff
from modelscope_vitadapter.images.options import ReadOptions
from modelscope_vitadapter.segmenter import Segmenter
from tests.images.makers import NOISE

ROOT = Path(__file__).parents[1]
PLACE = Affine(0.5, 0, 448_000, 0, -0.5, 5_411_000)
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def write(path, bands, **profile):
    profile = {"driver": "GTiff", "dtype": bands.dtype, **profile}
    profile |= dict(zip(("count", "height", "width"), bands.shape, strict=True))
    with rasterio.open(path, "w", **profile) as target:
        target.write(bands)
    return path


class Brightness:
    """Stands for a model: a pixel's class is its green value; it knows what it was given."""

    def __init__(self, classes=256):
        self.given = []
        self.config = SimpleNamespace(
            palette=[[k % 256, 9, 8] for k in range(classes)],
            settings=SimpleNamespace(
                head=SimpleNamespace(num_classes=classes),
                windows=SimpleNamespace(crop_size=(64, 64)),
            ),
        )

    def segment(self, sources):
        for source in sources:
            self.given.append(source.shape)
            yield SimpleNamespace(class_map=torch.from_numpy(source[:, :, 1].astype(np.int64)))


def ids(path):
    with rasterio.open(path) as answer:
        return answer.read(1)


def test_the_middle_of_each_tile_is_kept_with_the_place_and_the_colours(tmp_path):
    segmenter = Segmenter.load(ROOT / "examples" / "tiny_model")
    pixels = np.array(NOISE.resize((460, 370))).transpose(2, 0, 1)
    path = write(tmp_path / "map.tif", pixels, crs="EPSG:25832", transform=PLACE)
    output = tmp_path / "classes.tif"
    assert segment_geotiff(segmenter, path, output) == output
    with rasterio.open(output) as answer:
        assert (answer.shape, answer.dtypes, answer.nodata) == ((370, 460), ("uint8",), 255)
        assert (answer.crs.to_epsg(), answer.transform) == (25832, PLACE)
        assert answer.profile["tiled"]
        assert answer.profile["compress"] == "deflate"
        assert answer.colormap(1)[2] == (*segmenter.config.palette[2], 255)
        found = answer.read(1)
    bgr = pixels[::-1].transpose(1, 2, 0)
    for top, left, rows, columns in (
        (144, 144, slice(168, 257), slice(168, 302)),  # between its neighbours
        (0, 0, slice(0, 168), slice(0, 168)),
        (178, 268, slice(257, 370), slice(302, 460)),  # moved back to end with the image
    ):
        (alone,) = segmenter.segment([bgr[top : top + 192, left : left + 192]])
        part = alone.class_map.numpy()[
            rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
        ]
        assert np.array_equal(found[rows, columns], part)
    assert len(np.unique(found)) > 1
    assert {one.name for one in tmp_path.iterdir()} == {"map.tif", "classes.tif"}


@pytest.mark.parametrize(("height", "width"), [(1, 1), (64, 65), (63, 300), (600, 130)])
@pytest.mark.parametrize(("tile", "overlap"), [(None, None), (100, 0), (50, 30), (1000, 3)])
def test_every_pixel_is_answered_whatever_the_tiles(tmp_path, height, width, tile, overlap):
    grey = np.random.default_rng(1).integers(0, 255, (1, height, width)).astype(np.uint8)
    path = write(tmp_path / "a.tif", grey)
    segment_geotiff(Brightness(), path, tmp_path / "b.tif", tile=tile, overlap=overlap)
    assert np.array_equal(ids(tmp_path / "b.tif"), grey[0])


def test_pixels_without_data_have_no_class(tmp_path):
    values = np.full((3, 100, 200), 7, np.uint16)
    values[:, :, :90] = 0
    values[0, 5, 150] = 0  # of one band only: data
    path = write(tmp_path / "a.tif", values, nodata=0)
    model = Brightness(classes=256)
    options = ReadOptions(value_range=(0, 255))
    segment_geotiff(model, path, tmp_path / "b.tif", options=options)
    found = ids(tmp_path / "b.tif")
    assert found.dtype == np.uint16
    assert (found[:, :90] == 65535).all()
    assert (found[:, 90:] == 7).all()
    assert len(model.given) < 8  # tiles without any data are not computed
    rgba = np.full((4, 10, 10), 9, np.uint8)
    rgba[3, 4] = 0
    path = write(tmp_path / "c.tif", rgba, photometric="rgb", alpha="yes")
    segment_geotiff(Brightness(255), path, tmp_path / "d.tif")
    found = ids(tmp_path / "d.tif")
    assert (found[4] == 255).all()
    assert (found[5:] == 9).all()


def test_bands_and_values_are_scaled_alike_in_all_tiles(tmp_path, caplog):
    values = np.zeros((6, 70, 200), np.uint16)
    values[4] = np.arange(200) * 16
    path = write(tmp_path / "a.tif", values, photometric="minisblack")
    options = ReadOptions(bands=(5,), value_range=(0, 4080))
    segment_geotiff(Brightness(), path, tmp_path / "b.tif", options=options)
    assert (ids(tmp_path / "b.tif") == np.arange(200)).all()
    with pytest.raises(ImageError, match=r"6 bands, uint16.*bands=\(3, 2, 1\)"):
        segment_geotiff(Brightness(), path, tmp_path / "b.tif")
    path = write(tmp_path / "a.tif", np.float32(values[4:5]))
    with pytest.raises(ImageError, match=r"float32; say .*value_range=\(0, 1\)"):
        segment_geotiff(Brightness(), path, tmp_path / "b.tif")
    assert (ids(tmp_path / "b.tif") == np.arange(200)).all()  # as it was


def test_what_can_not_be_segmented(tmp_path):
    path, other = write(tmp_path / "a.tif", np.zeros((1, 9, 9), np.uint8)), tmp_path / "b.tif"
    cases = [
        ((tmp_path / "none.tif", other), {}, ImageNotFoundError, "does not exist"),
        ((path, path), {}, ImageError, "another output"),
        ((path, tmp_path / "no" / "b.tif"), {}, (ImageError, OSError), "b.tif"),
        ((path, other), {"overlap": 64}, ValueError, "from 0 to 63"),
        ((path, other), {"tile": 0}, ValueError, "tile=0"),
        ((Path(__file__), other), {}, ImageError, "expected a complete GeoTIFF"),
    ]
    for given, options, error, words in cases:
        with pytest.raises(error, match=words):
            segment_geotiff(Brightness(), *given, **options)
    assert not other.exists()


MEASURE = """
import sys
import numpy as np
import rasterio
from tests.support.peak import peak
from tests.test_geotiff import Brightness
from modelscope_vitadapter.geotiff import segment_geotiff

def run(height, width):
    size = {"height": height, "width": width, "count": 3, "dtype": "uint8"}
    layout = {"tiled": True, "blockxsize": 256, "blockysize": 256, "SPARSE_OK": True}
    with rasterio.open("a.tif", "w", driver="GTiff", compress="deflate", **size, **layout):
        pass
    segment_geotiff(Brightness(), "a.tif", "b.tif", tile=512)

run(600, 2000)
before = peak()
run(int(sys.argv[1]), 2000)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process")
def test_memory_is_that_of_a_row_of_tiles(tmp_path):
    """The tall file's bands take 144 MB, its answer 48 MB."""
    command = [sys.executable, "-W", "ignore", "-c", MEASURE, "24000"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
    )
    assert int(done.stdout) / 1e6 < 100  # 67 MB of GDAL's blocks among them
