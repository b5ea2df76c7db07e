import io
import sys
import warnings

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from modelscope_vitadapter.errors import ImageError, ImageMemoryError
from modelscope_vitadapter.images import decode
from modelscope_vitadapter.images.decode import decode_image, pil_to_bgr
from modelscope_vitadapter.images.options import ReadOptions
from modelscope_vitadapter.images.reading import read_oriented_image
from modelscope_vitadapter.images.tiff import turned as turned_array
from tests.images.makers import (
    BGR,
    GREY_16,
    NOISE,
    PICTURE,
    encode,
    icon,
    in_mode,
    translucent,
    turned,
)

PIXELS = BGR.shape[0] * BGR.shape[1]
PNG = encode(PICTURE, "PNG")
WITHIN_PILLOWS = {
    "TIFF": encode(PICTURE, "TIFF", compression="tiff_lzw"),
    "WEBP": encode(PICTURE, "WEBP", lossless=True),
    "ICO": icon(PNG),
}
WRITTEN = {kind: encode(PICTURE, kind) for kind in ("PNG", "JPEG", "GIF", "BMP")} | WITHIN_PILLOWS


@pytest.mark.parametrize(("mode", "straight"), [("La", "LA"), ("RGBa", "RGBA")])
def test_premultiplied_alpha_is_undone(mode, straight):
    image = translucent(straight).convert(mode)
    assert np.array_equal(pil_to_bgr(image, "a"), pil_to_bgr(image.convert(straight), "a"))


@pytest.mark.parametrize(
    ("mode", "order"), [("I;16", "<u2"), ("I;16L", "<u2"), ("I;16B", ">u2"), ("I;16N", "=u2")]
)
def test_16_bit_grey_is_scaled_and_rounded(mode, order):
    values = np.array([[0, 128, 129, 257], [32768, 65406, 65407, 65535]], np.uint16)
    image = Image.frombytes(mode, (4, 2), values.astype(order).tobytes())
    assert pil_to_bgr(image, "a")[:, :, 1].tolist() == [[0, 0, 1, 1], [128, 254, 255, 255]]


@pytest.mark.parametrize(("white", "grey"), [(255, [0, 7, 255]), (65535, [0, 0, 255])])
def test_32_bit_integers_are_taken_as_8_or_16_bits(white, grey):
    result = pil_to_bgr(Image.fromarray(np.array([[0, 7, white]], np.int32)), "a")
    assert result.dtype == np.uint8
    assert result[0, :, 2].tolist() == grey


@settings(max_examples=60, deadline=None)
@given(
    mode=st.sampled_from(["1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr", "I;16", "I"]),
    pixels=st.integers(1, PIXELS),
)
def test_bands_give_what_the_whole_gives(mode, pixels):
    if mode in ("I;16", "I"):
        image = Image.fromarray(GREY_16.astype(np.uint16 if mode == "I;16" else np.int32))
    else:
        image = translucent(mode) if mode.endswith("A") else in_mode(mode)
    whole = pil_to_bgr(image, "a")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "BAND_PIXELS", pixels)
        assert np.array_equal(pil_to_bgr(image, "a"), whole)


def test_pil_images_that_are_decoded_late_are_not_turned_and_may_be_refused():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encode(PICTURE, "PNG", exif=exif)
    with Image.open(io.BytesIO(content)) as image:
        assert np.array_equal(pil_to_bgr(image, "a"), BGR)
    assert decode_image(content, "a").shape == (32, 24, 3)
    with Image.open(io.BytesIO(encode(NOISE, "JPEG")[:2000])) as image:
        for _ in range(2):  # cut short, then closed
            with pytest.raises(ImageError, match=r"^a can't be decoded"):
                pil_to_bgr(image, "a")
            image.close()


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_given_limit_takes_the_place_of_pillows(monkeypatch, kind):
    """For one call: Pillow's setting stays as it is, so other threads keep it."""
    content = WRITTEN[kind]
    with pytest.raises(ImageError, match=f"at most {PIXELS - 1}; .*max_pixels={PIXELS}"):
        decode_image(content, "a", options=ReadOptions(max_pixels=PIXELS - 1))
    monkeypatch.setattr(decode, "BAND_PIXELS", 320)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with pytest.raises(ImageError, match=r"at most 100;|exceeds limit of 100"):  # twice, as there
        decode_image(content, "a")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            assert (
                decode_image(content, "a", options=ReadOptions(max_pixels=PIXELS)).shape
                == BGR.shape
            )
        except ImageError as error:  # of which formats depends on Pillow's version
            assert kind in WITHIN_PILLOWS
            assert "raise PIL.Image.MAX_IMAGE_PIXELS" in str(error)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(content)).load()


@pytest.mark.parametrize(("where", "name"), [(Image.Image, "load"), (ImageOps, "exif_transpose")])
def test_memory_that_is_not_there_is_one_clear_error(monkeypatch, where, name):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(where, name, fail)
    with pytest.raises(ImageMemoryError, match=r"^a\.png .*not enough memory .* reduce it"):
        decode_image(PNG, "a.png")


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_heic_is_read_where_pillow_heif_is_installed(monkeypatch, brand):
    stream = io.BytesIO()
    pillow_heif.from_pillow(PICTURE).save(stream, quality=90)
    content = stream.getvalue().replace(b"ftypheic", b"ftyp" + brand)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    assert decode_image(content, "a").shape == BGR.shape
    monkeypatch.delitem(Image.OPEN, "HEIF")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"^a is a HEIC image, .*pip install pillow-heif"):
        decode_image(content, "a")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_are_told_whether_they_are_applied_or_not(kind, orientation):
    content = turned(kind, orientation)
    upright, found = read_oriented_image(content)
    stored, ignored = read_oriented_image(content, options=ReadOptions(exif="ignore"))
    assert found == ignored == orientation
    assert stored.shape == BGR.shape
    assert np.array_equal(turned_array(stored, orientation), upright)


def test_no_orientation_and_damaged_ones_are_upright():
    damaged = encode(PICTURE, "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    for source in (PNG, damaged, turned("TIFF", 9), PICTURE, np.array(BGR)):
        assert read_oriented_image(source)[1] == 1
