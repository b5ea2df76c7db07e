"""Odd pictures through the whole pipeline; `docs/pictures.md` has the table of all forms."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from modelscope.pipelines import pipeline
from PIL import Image

from modelscope_vitadapter.errors import ImageError, ImageMemoryError
from modelscope_vitadapter.images.decode import MAX_PIXELS
from modelscope_vitadapter.images.reading import read_image
from modelscope_vitadapter.inference import memory as memory_needs
from tests.images.forms import ANSWERED
from tests.images.makers import BGR, PICTURE, encode, png

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


@pytest.mark.parametrize(
    "form",
    [
        "JPEG, CMYK (stored inverted, as Adobe does)",
        "PNG with alpha",
        "PNG, palette with transparency",
        "PNG, 16-bit grey",
        "GIF, animated",
        "TIFF, several pages",
        "TIFF, floats from 0 to 255",
        "EXIF orientation of another number",
        "array of booleans",
    ],
)
def test_forms_give_the_answer_of_their_pixels(tiny, form):
    source = ANSWERED[form].make()[0]
    found = tiny(source, output="class_map")
    expected = tiny(read_image(source), output="class_map")
    assert np.array_equal(found["class_map"], expected["class_map"])
    assert found["class_map"].shape == BGR.shape[:2]


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


def test_the_default_limit(tiny):
    side = int(MAX_PIXELS**0.5) + 1
    with pytest.raises(ImageError, match=r"pass max_pixels="):
        tiny(png(side, side, 1, 0, b""))
    with pytest.raises(ImageError, match="can't be decoded"):  # opened, but nothing is there
        tiny(png(side, side, 1, 0, b""), max_pixels=side**2)


def test_a_larger_picture_than_pillow_opens(tiny, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 99)
    content = encode(PICTURE, "PNG")
    with pytest.raises(ImageError, match=r"at most 198;.*pass max_pixels="):
        tiny(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tiny(content, max_pixels=PIXELS)["labels"]


def test_masks_that_do_not_fit(tiny, monkeypatch):
    count = len(tiny(BGR)["masks"])
    needed = PIXELS * (8 * count + 1)
    free(monkeypatch, needed)
    assert len(tiny(BGR)["masks"]) == count
    free(monkeypatch, max(needed - 1, 9 * PIXELS))
    if count > 1:
        with pytest.raises(
            ImageMemoryError, match=f"needs {needed} bytes for its masks as int64"
        ) as caught:
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


def test_unknown_memory_refuses_nothing(tiny, monkeypatch):
    free(monkeypatch, None)
    assert tiny(BGR)["masks"]


def test_a_refusal_leaves_the_pipeline_as_it_was(tiny):
    before = tiny(BGR)
    for wrong in (
        b"",
        b"hello",
        "missing.png",
        np.zeros((2, 2, 7)),
        png(30_000, 30_000, 8, 2, b""),
    ):
        with pytest.raises(ImageError):
            tiny(wrong)
    after = tiny(BGR)
    assert before["labels"] == after["labels"]
    assert all(map(np.array_equal, before["masks"], after["masks"]))
    assert not torch.is_inference_mode_enabled()
