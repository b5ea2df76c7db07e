"""Images of 16 bits that use fewer: ranges that files name, and that callers give."""

import io
import re

import cv2
import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter import logs
from modelscope_vitadapter.errors import ImageError
from modelscope_vitadapter.images.depth import to_8_bits
from modelscope_vitadapter.images.options import ReadOptions
from modelscope_vitadapter.images.reading import read_image
from tests.images.makers import (
    BGR,
    GREY_16,
    HEIGHT,
    RGB,
    WIDTH,
    chunk,
    encode,
    png_of,
    tiff,
    tiff_of_16_bits,
)

GREY_12 = GREY_16 // 16
RGB_12 = RGB.astype(np.uint16) * 16 + 5
BITS_12 = ReadOptions(value_range=(0, 4095))
GREY_8 = np.repeat(np.rint(GREY_12 * (255 / 4095)).astype(np.uint8)[:, :, None], 3, axis=2)
COLOURS_8 = np.rint(RGB_12[:, :, ::-1] * (255 / 4095)).astype(np.uint8)


@pytest.fixture(autouse=True)
def _warn_anew(monkeypatch):
    monkeypatch.setattr(logs, "_warned", set())


def written(suffix, values):
    return cv2.imencode(suffix, values)[1].tobytes()


def grey_png(values, bits):
    return png_of(values[:, :, None], 0, more=chunk(b"sBIT", bytes([bits])))


def tagged(**tags):
    numbers = {int(tag[1:]): value for tag, value in tags.items()}
    return encode(Image.fromarray(GREY_12), "TIFF", tiffinfo=numbers)


def packed_tiff():
    """A TIFF of 12 bits a sample, two of which share three bytes."""
    even, odd = GREY_12[:, ::2].astype(int), GREY_12[:, 1::2].astype(int)
    parts = [even >> 4, (even & 15) << 4 | odd >> 8, odd & 255]
    content = np.stack(parts, axis=2).astype(np.uint8).tobytes()
    entries = {256: WIDTH, 257: HEIGHT, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: HEIGHT}
    return tiff({**entries, 279: len(content)}, content)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (grey_png(GREY_12, 12), GREY_8),
        (png_of(RGB_12, 2, more=chunk(b"sBIT", b"\x0c\x0c\x0b")), COLOURS_8),
        (tagged(t281=4095), GREY_8),
        (tagged(t280=0, t281=4095), GREY_8),
        (packed_tiff(), GREY_8),
        (b"P5 32 24 4095\n" + GREY_12.astype(">u2").tobytes(), GREY_8),
    ],
)
def test_the_range_that_a_file_names(content, expected, caplog):
    assert np.array_equal(read_image(content), expected)
    assert not caplog.text


def test_samples_that_were_scaled_up_have_all_16_bits():
    scaled_up = RGB_12 * 16
    content = png_of(scaled_up, 2, more=chunk(b"sBIT", b"\x0c\x0c\x0c"))
    assert np.array_equal(read_image(content), read_image(png_of(scaled_up, 2)))
    content = grey_png(GREY_16, 12)
    assert np.array_equal(read_image(content), read_image(encode(Image.fromarray(GREY_16), "PNG")))


def test_pil_images_keep_what_a_tiff_names():
    with Image.open(io.BytesIO(tagged(t281=4095))) as image:
        assert np.array_equal(read_image(image), GREY_8)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        *((written(kind, GREY_12), GREY_8) for kind in (".png", ".tif")),
        *((written(kind, RGB_12[:, :, ::-1]), COLOURS_8) for kind in (".png", ".tif")),
        (Image.fromarray(GREY_12), GREY_8),
        (Image.fromarray(GREY_12.astype(np.int32)), GREY_8),
        (Image.fromarray(GREY_12.astype(np.float32)), GREY_8),
        (GREY_12, GREY_8),
        (GREY_12.astype(np.float64), GREY_8),
        (RGB_12[:, :, ::-1].astype(np.int32), COLOURS_8),
        (b"P5 32 24 4095\n" + GREY_12.astype(">u2").tobytes(), GREY_8),
    ],
)
def test_a_given_range(source, expected, caplog):
    found = read_image(source, options=BITS_12)
    assert found.dtype == np.uint8
    assert np.array_equal(found, expected)
    assert not caplog.text


def test_a_given_range_of_8_bits_is_clipped():
    halved = np.clip(np.rint((BGR - 50.0) * 2.55), 0, 255).astype(np.uint8)
    options = ReadOptions(value_range=(50, 150))
    for source in (encode(Image.fromarray(RGB), "PNG"), Image.fromarray(RGB), BGR):
        assert np.array_equal(read_image(source, options=options), halved)


def test_nothing_is_black_and_infinite_is_clipped():
    values = np.array([[np.nan, -np.inf, np.inf, 0.5]], np.float32)
    assert to_8_bits(values, (0, 1)).tolist() == [[0, 0, 255, 128]]


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_colours_of_16_bits_are_turned_like_others(orientation):
    """OpenCV turns them by itself or not, with its version."""
    plain = tiff_of_16_bits(3, 2)
    entry = b"\x12\x01\x03\0\1\0\0\0" + bytes([orientation, 0, 0, 0])
    with_turn = _with_entry(plain, entry)
    all_16_bits = ReadOptions(value_range=(0, 65534))
    found = read_image(with_turn, options=all_16_bits)
    assert np.abs(found.astype(int) - read_image(with_turn)).max() <= 1  # Pillow's
    stored = read_image(with_turn, options=ReadOptions(value_range=(0, 65534), exif="ignore"))
    assert np.array_equal(stored, read_image(plain, options=all_16_bits))


def _with_entry(content, entry):
    """A TIFF of `makers.tiff` with an entry of tag 274 in its directory."""
    place = int.from_bytes(content[4:8], "little")
    count = int.from_bytes(content[place : place + 2], "little")
    entries = content[place + 2 : -4]
    before = sum(int.from_bytes(entries[k * 12 : k * 12 + 2], "little") < 274 for k in range(count))
    joined = entries[: before * 12] + entry + entries[before * 12 :]
    return content[:place] + (count + 1).to_bytes(2, "little") + joined + bytes(4)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (encode(Image.fromarray(GREY_12), "PNG"), r"from 0 to 3958 .*value_range=\(0, 4095\)"),
        (png_of(RGB_12, 2), r"from 5 to 4085 .*value_range=\(0, 4095\)"),
        (png_of(RGB_12 // 4, 2), r"from 1 to 1021 .*value_range=\(0, 1023\)"),
        (encode(Image.fromarray(GREY_12.astype(np.int32)), "TIFF"), r"value_range=\(0, 4095\)"),
    ],
)
def test_an_image_that_is_nearly_black_is_warned_of_once(content, words, caplog):
    assert read_image(content).max() < 32
    read_image(content)
    (record,) = caplog.records
    assert re.search(words, record.getMessage())
    assert record.getMessage().startswith(f"{len(content)} bytes")


@pytest.mark.parametrize("values", [GREY_16, np.zeros_like(GREY_16)])
def test_images_that_use_all_bits_or_are_black_are_not_warned_of(values, caplog):
    read_image(encode(Image.fromarray(values), "PNG"))
    read_image(png_of(np.repeat(values[:, :, None], 3, axis=2), 2))
    assert not caplog.text


def test_a_refusal_of_values_names_the_option():
    with pytest.raises(ImageError, match=r"value_range=\(0, 4095\)"):
        read_image(GREY_12)
    with pytest.raises(ImageError, match=r"value_range=\(-1, 65536\)"):
        read_image(Image.fromarray(np.array([[-1, 65536]], np.int32)))
