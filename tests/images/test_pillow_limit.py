import io
import threading
import warnings

import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter.errors import ImageError
from modelscope_vitadapter.images.pictures import decode_picture, pil_to_bgr
from modelscope_vitadapter.images.pillow_limit import pillow_limit
from tests.images.makers import BGR, PICTURE, encode, icon, png

PIXELS = BGR.shape[0] * BGR.shape[1]
WRITTEN = {
    kind: encode(PICTURE, kind, **options)
    for kind, options in {
        "PNG": {},
        "JPEG": {"quality": 95},
        "TIFF": {"compression": "tiff_lzw"},
        "GIF": {},
        "WEBP": {"lossless": True},
        "BMP": {},
    }.items()
} | {"ICO": icon(encode(PICTURE, "PNG"))}


@pytest.fixture
def low_limit(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_given_limit_is_the_only_one(low_limit, kind):
    content = WRITTEN[kind]
    with pytest.raises(ImageError, match="DecompressionBombError"):
        decode_picture(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode_picture(content, max_pixels=PIXELS).shape == BGR.shape
    with pytest.raises(ImageError, match=f"at most {PIXELS - 1}"):
        decode_picture(content, max_pixels=PIXELS - 1)
    with pytest.raises(ImageError, match="DecompressionBombError"):
        decode_picture(content)
    assert Image.MAX_IMAGE_PIXELS == 50


def test_pil_images_that_are_decoded_late(monkeypatch):
    with Image.open(_stream(WRITTEN["TIFF"])) as picture:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
        assert np.array_equal(pil_to_bgr(picture, max_pixels=PIXELS), BGR)


def test_a_limit_below_pillows_holds_inside_of_icons_too():
    content = icon(png(1000, 1000, 8, 2, b""), 16, 16)
    with pytest.raises(ImageError, match=r"1000000 pixels .*expected at most 999999"):
        decode_picture(content, max_pixels=999_999)


def test_other_threads_keep_pillows_limit(low_limit):
    """While one thread reads with a limit of its own, another one is refused."""
    inside, done = threading.Event(), threading.Event()
    answers = []

    def read_with_own_limit():
        with pillow_limit(PIXELS):
            inside.set()
            done.wait(10)
            with Image.open(_stream(WRITTEN["PNG"])) as picture:
                answers.append(picture.size)

    thread = threading.Thread(target=read_with_own_limit)
    thread.start()
    assert inside.wait(10)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(_stream(WRITTEN["PNG"]))
    done.set()
    thread.join()
    assert answers == [PICTURE.size]


def test_the_limit_ends_with_its_block(low_limit):
    with pytest.raises(KeyError), pillow_limit(PIXELS):
        raise KeyError
    with pytest.raises(Image.DecompressionBombError):
        Image.open(_stream(WRITTEN["PNG"]))
    with pillow_limit(None), pytest.raises(Image.DecompressionBombError):
        Image.open(_stream(WRITTEN["PNG"]))


def _stream(content):
    return io.BytesIO(content)
