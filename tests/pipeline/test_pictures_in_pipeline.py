"""Every form of image through a pipeline, and what it refuses; compare docs/pictures.md."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from affine import Affine
from modelscope.pipelines import pipeline

from modelscope_vitadapter.errors import ImageError, ImageMemoryError
from modelscope_vitadapter.images.options import ReadOptions
from modelscope_vitadapter.images.video import frames
from modelscope_vitadapter.inference import memory as memory_needs
from tests.images.forms import ANSWERED
from tests.images.makers import BGR, GREY_16, PICTURE, encode, png, turned

TINY = Path(__file__).parents[2] / "examples" / "tiny_model"
PIXELS = BGR.shape[0] * BGR.shape[1]


@pytest.fixture(scope="module")
def tiny():
    return pipeline("image-segmentation", model=str(TINY), device="cpu")


@pytest.fixture
def count_passes(tiny):
    passes = []
    hook = tiny.model.model.register_forward_hook(lambda *_: passes.append(1))
    yield passes
    hook.remove()


def free(monkeypatch, amount):
    monkeypatch.setattr(memory_needs, "SMALL", 0)
    monkeypatch.setattr(memory_needs, "free_memory", lambda device: amount)


@pytest.mark.parametrize("form", ["1 x 1", "1 x 10000", "10000 x 1", "40 x 8000", "8000 x 40"])
def test_sides_stay_at_least_one_pixel(tiny, form):
    (content,) = ANSWERED[form].make()
    size = tuple(int(side) for side in form.split(" x "))
    inputs = tiny.preprocess(content)["img"]
    assert min(min(view.shape[-2:]) for view in inputs) >= 32
    result = tiny(content)
    assert {mask.shape for mask in result["masks"]} == {size}
    assert (sum(result["masks"]) == 1).all()
    assert tiny(content, output="class_map", confidence=True)["confidence"].shape == size


def test_max_pixels_of_pipeline_and_call():
    strict = pipeline("image-segmentation", model=str(TINY), max_pixels=PIXELS - 1)
    for source in (PICTURE, encode(PICTURE, "PNG"), {"image": encode(PICTURE, "JPEG")}):
        with pytest.raises(ImageError, match=f"{PIXELS} pixels .*at most {PIXELS - 1}"):
            strict(source)
        assert strict(source, max_pixels=PIXELS)["labels"]
    with pytest.raises(ImageError, match="at most 5"):
        list(strict(iter([PICTURE]), max_pixels=5))
    assert strict(BGR)["labels"]  # it is in memory already


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "many"])
def test_max_pixels_that_is_no_count(tiny, value):
    with pytest.raises(ValueError, match=r"max_pixels=.*whole number"):
        tiny(PICTURE, max_pixels=value)
    with pytest.raises(ValueError, match=r"max_pixels=.*whole number"):
        pipeline("image-segmentation", model=str(TINY), max_pixels=value)


def class_maps(results):
    return [result["class_map"] for result in results]


def test_options_of_reading_of_pipeline_and_call(tiny):
    turned_map, upright = (
        tiny(content, output="class_map")["class_map"] for content in (turned("PNG", 6), BGR)
    )
    assert turned_map.shape[::-1] == upright.shape
    stored = tiny(turned("PNG", 6), output="class_map", exif="ignore")["class_map"]
    assert np.array_equal(stored, upright)
    grey = GREY_16 // 16
    options = {"value_range": (0, 4095), "bands": (1, 1, 1), "exif": "ignore"}
    fixed = pipeline("image-segmentation", model=str(TINY), max_pixels=PIXELS - 1, **options)
    assert fixed.read_options == ReadOptions(max_pixels=PIXELS - 1, **options)
    with pytest.raises(ImageError, match="at most"):
        fixed(PICTURE)
    narrow, wide = (
        fixed(grey, output="class_map", **more)["class_map"]
        for more in ({}, {"value_range": (0, 65535)})
    )
    as_8_bits = np.rint(grey * (255 / 4095)).astype(np.uint8)
    assert np.array_equal(narrow, tiny(as_8_bits, output="class_map")["class_map"])
    assert wide.shape == narrow.shape
    for wrong in ({"exif": "no"}, {"bands": (1, 2)}, {"value_range": (3, 1)}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
            tiny(PICTURE, **wrong)
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
            pipeline("image-segmentation", model=str(TINY), **wrong)


def test_a_video_is_a_stream_of_frames(tiny, tmp_path):
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5, BGR.shape[1::-1])
    for turn in range(3):
        writer.write(np.roll(BGR, 5 * turn, axis=1))
    writer.release()
    capture = cv2.VideoCapture(str(path))
    expected = [tiny(frame, output="class_map") for frame in frames(path)]
    for source in (path, str(path), capture):
        found = tiny(source, output="class_map")
        assert not isinstance(found, list)
        assert np.array_equal(class_maps(found), class_maps(expected))
    found = list(tiny(path, output="class_map", frame_step=2))
    assert np.array_equal(class_maps(found), class_maps(expected[::2]))
    with pytest.raises(ValueError, match="frame_step=0"):
        tiny(path, frame_step=0)
    with pytest.raises(ValueError, match="frame_step=2: expected a video, not array"):
        tiny(BGR, frame_step=2)
    with pytest.raises(ImageError, match="pass the frame alone"):
        tiny((True, BGR))
    with pytest.raises(ImageError, match=r"input 1 .*is a video"):
        tiny([BGR, str(path)])


def test_a_huge_geotiff_is_refused_with_what_to_use(tiny, tmp_path):
    path = tmp_path / "a.tif"
    layout = {"tiled": True, "SPARSE_OK": True, "compress": "deflate"}
    size = {"width": 60_000, "height": 60_000, "count": 3, "dtype": "uint8"}
    place = Affine(2, 0, 448_000, 0, -2, 5_411_000)
    with rasterio.open(path, "w", driver="GTiff", transform=place, **size, **layout):
        pass
    with pytest.raises(ImageError, match=r"geotiff\.segment_geotiff"):
        tiny(path)


def test_masks_that_do_not_fit(tiny, monkeypatch):
    count = len(tiny(BGR)["masks"])
    needed = PIXELS * (8 * count + 1)
    free(monkeypatch, needed)
    assert len(tiny(BGR)["masks"]) == count
    free(monkeypatch, needed - 1)
    assert count > 1
    with pytest.raises(ImageMemoryError, match=f"needs {needed} bytes for its masks as") as caught:
        tiny(BGR)
    assert "output='class_map'" in str(caught.value)
    assert f"mask_dtype=bool ({PIXELS * count} bytes)" in str(caught.value)
    assert isinstance(caught.value, MemoryError)
    assert isinstance(caught.value, ImageError)
    assert tiny(BGR, output="class_map")["class_map"].shape == BGR.shape[:2]
    assert len(tiny(BGR, mask_dtype=bool)["masks"]) == count


def test_a_class_map_that_does_not_fit_is_refused_before_anything_is_made(
    tiny, monkeypatch, count_passes
):
    free(monkeypatch, 9 * PIXELS - 1)
    for source in (BGR, PICTURE, encode(PICTURE, "PNG")):
        with pytest.raises(ImageMemoryError, match=f"needs {9 * PIXELS} bytes"):
            tiny(source, output="class_map")
    with pytest.raises(ImageMemoryError, match="height 13000, width 13000"):
        tiny(png(13_000, 13_000, 8, 2, b""))  # a few bytes that claim to be a picture
    assert not count_passes
    free(monkeypatch, 9 * PIXELS)
    assert tiny(BGR, output="class_map")["class_map"].shape == BGR.shape[:2]
