import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from modelscope_vitadapter.errors import ImageError, ImageMemoryError
from modelscope_vitadapter.images import pictures
from modelscope_vitadapter.images.pictures import decode_picture, pil_to_bgr

RGB = np.random.default_rng(1).integers(0, 256, (6, 8, 3)).astype(np.uint8)
PICTURE = Image.fromarray(RGB)


def encode(picture, kind, **options):
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def load_image_of_modelscope(content):
    """What `modelscope.preprocessors.load_image` does with the bytes of a picture, in BGR."""
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    return np.array(picture)[:, :, ::-1]


MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"]


def in_mode(mode):
    if mode == "PA":
        return PICTURE.convert("P").convert("PA")
    if mode == "HSV":
        return PICTURE.convert("HSV")
    if mode == "LAB":
        return Image.frombytes("LAB", (8, 6), RGB.tobytes())
    return PICTURE.convert(mode)


@pytest.mark.parametrize("mode", MODES)
def test_8_bit_modes_equal_pillows_conversion(mode):
    picture = in_mode(mode)
    before = picture.tobytes()
    result = pil_to_bgr(picture)
    assert picture.mode == mode
    assert picture.tobytes() == before
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    assert result.flags.writeable
    assert np.array_equal(result[:, :, ::-1], np.array(picture.convert("RGB")))


@pytest.mark.parametrize(("mode", "straight"), [("La", "LA"), ("RGBa", "RGBA")])
def test_premultiplied_alpha_is_undone(mode, straight):
    picture = PICTURE.convert(straight)
    assert np.array_equal(pil_to_bgr(picture.convert(mode)), pil_to_bgr(picture))


def test_transparency_of_a_palette_is_dropped():
    picture = PICTURE.convert("P")
    picture.info["transparency"] = 0
    assert np.array_equal(
        pil_to_bgr(picture)[:, :, ::-1], np.array(PICTURE.convert("P").convert("RGB"))
    )


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I;16N"])
def test_16_bit_grey_is_scaled_and_rounded(mode):
    values = np.array([[0, 128, 129, 257], [32768, 65406, 65407, 65535]], np.uint16)
    order = {"I;16B": ">u2", "I;16N": "=u2"}.get(mode, "<u2")
    picture = Image.frombytes(mode, (4, 2), values.astype(order).tobytes())
    expected = [[0, 0, 1, 1], [128, 254, 255, 255]]
    assert pil_to_bgr(picture)[:, :, 1].tolist() == expected


def test_16_bit_files_are_scaled_not_clipped():
    values = np.arange(0, 65536, 1365, dtype=np.uint16).reshape(7, 7)
    picture = Image.fromarray(values)
    for kind in ("PNG", "TIFF"):
        result = decode_picture(encode(picture, kind))
        assert np.array_equal(result[:, :, 0], np.rint(values / 257).astype(np.uint8))


@pytest.mark.parametrize(
    ("values", "expected"),
    [([[0, 7, 255]], [[0, 7, 255]]), ([[0, 256, 65535]], [[0, 1, 255]])],
)
def test_32_bit_integers_are_taken_as_8_or_16_bits(values, expected):
    picture = Image.fromarray(np.array(values, np.int32))
    assert picture.mode == "I"
    result = pil_to_bgr(picture)
    assert result.dtype == np.uint8
    assert result[:, :, 2].tolist() == expected


@pytest.mark.parametrize("values", [[[-1, 5]], [[0, 65536]]])
def test_32_bit_integers_beyond_16_bits_are_refused(values):
    with pytest.raises(ImageError, match=r"mode I.*values from .* expected 0 to 255"):
        pil_to_bgr(Image.fromarray(np.array(values, np.int32)))


def test_floats_stay_floats():
    picture = Image.fromarray(np.array([[0.25, 254.75]], np.float32))
    result = pil_to_bgr(picture)
    assert result.dtype == np.float32
    assert result[0, :, 0].tolist() == [0.25, 254.75]


@pytest.mark.parametrize("value", [np.nan, -1, 256])
def test_floats_outside_the_range_are_refused(value):
    with pytest.raises(ImageError, match="PIL image"):
        pil_to_bgr(Image.fromarray(np.full((2, 2), value, np.float32)))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 90}),
        ("BMP", {}),
        ("TIFF", {}),
        ("PPM", {}),
        ("WEBP", {"lossless": True}),
        ("GIF", {}),
        ("JPEG", {"progressive": True}),
    ],
)
def test_files_equal_modelscopes_load_image(kind, options):
    content = encode(PICTURE, kind, **options)
    assert np.array_equal(decode_picture(content), load_image_of_modelscope(content))


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("CMYK", "JPEG"), ("L", "JPEG"), ("1", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("RGBA", "PNG")],
)
def test_files_of_other_modes_equal_modelscopes_load_image(mode, kind):
    content = encode(PICTURE.convert(mode), kind)
    assert np.array_equal(decode_picture(content), load_image_of_modelscope(content))


TURNS = {  # EXIF 2.32, 4.6.4 A: where row 0 and column 0 of the stored picture are
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", [*TURNS, 0, 9])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_exif_turns_files_but_not_pil_images(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(PICTURE, kind, exif=exif)
    plain = np.array(Image.open(io.BytesIO(content)))[:, :, ::-1]
    turned = TURNS.get(orientation, TURNS[1])(plain)
    assert np.array_equal(decode_picture(content), turned)
    assert np.array_equal(decode_picture(content), load_image_of_modelscope(content))
    with Image.open(io.BytesIO(content)) as picture:
        assert np.array_equal(pil_to_bgr(picture), plain)


def test_the_first_frame_of_an_animation_counts():
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    content = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode_picture(content)[0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
def test_truncated_files_are_refused(kind):
    big = Image.fromarray(np.random.default_rng(2).integers(0, 256, (64, 64, 3)).astype(np.uint8))
    content = encode(big, kind)
    for length in (len(content) // 3, len(content) * 2 // 3):
        with pytest.raises(ImageError, match=r"'half.img' "):
            decode_picture(content[:length], "'half.img'")


def test_a_truncated_lazily_opened_pil_image_is_refused():
    big = Image.fromarray(np.random.default_rng(2).integers(0, 256, (64, 64, 3)).astype(np.uint8))
    with (
        Image.open(io.BytesIO(encode(big, "JPEG")[:2000])) as picture,
        pytest.raises(ImageError, match=r"PIL image .* cannot be decoded"),
    ):
        pil_to_bgr(picture)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"hello, world\n", "begins with b'hello, world'"),
        (b"<!doctype html><p>404", "JPEG or PNG"),
        (b"\x89PNG\r\n\x1a\n", "JPEG or PNG"),
        (bytes(100), "JPEG or PNG"),
    ],
)
def test_other_content_is_refused(content, words):
    with pytest.raises(ImageError, match=words) as caught:
        decode_picture(content, "'notes.txt'")
    assert str(caught.value).startswith("'notes.txt'")


def test_too_many_pixels_are_refused_before_decoding():
    header = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header
    bomb += struct.pack(">I", zlib.crc32(header)) + struct.pack(">I", 9) + b"IDAT" + bytes(9)
    with pytest.raises(ImageError, match="900000000 pixels"):
        decode_picture(bomb)
    with pytest.raises(ImageError, match=r"48 pixels .* at most 47"):
        decode_picture(encode(PICTURE, "PNG"), max_pixels=47)
    with pytest.raises(ImageError, match=r"48 pixels .* at most 47"):
        pil_to_bgr(PICTURE, max_pixels=47)
    assert decode_picture(encode(PICTURE, "PNG"), max_pixels=48).shape == (6, 8, 3)


def test_an_image_beyond_pillows_limit_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ImageError, match="DecompressionBombError"):
        decode_picture(encode(PICTURE, "PNG"))


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_empty_pil_images_are_refused(size):
    with pytest.raises(ImageError, match="is empty"):
        pil_to_bgr(Image.new("RGB", size))


def test_a_closed_pil_image_is_refused():
    picture = Image.open(io.BytesIO(encode(PICTURE, "PNG")))
    picture.close()
    with pytest.raises(ImageError, match="cannot be decoded"):
        pil_to_bgr(picture)


@pytest.mark.parametrize("pixels", [1, 8, 9, 17, 47])
@pytest.mark.parametrize("mode", [*MODES, "La", "I;16", "I"])
def test_bands_give_what_the_whole_gives(monkeypatch, mode, pixels):
    if mode in ("I;16", "I"):
        picture = Image.fromarray(RGB[:, :, 0].astype(np.uint16 if mode == "I;16" else np.int32))
    else:
        picture = in_mode("LA").convert("La") if mode == "La" else in_mode(mode)
    assert picture.mode == mode
    whole = pil_to_bgr(picture)
    monkeypatch.setattr(pictures, "BAND_PIXELS", pixels)
    assert np.array_equal(pil_to_bgr(picture), whole)


def test_the_size_is_checked_before_anything_is_decoded():
    def refuse(name, size):
        raise ImageMemoryError(f"{name}: {size}")

    header_only = encode(PICTURE, "PNG")[:50]
    with pytest.raises(ImageMemoryError, match=r"a\.png: \(6, 8\)"):
        decode_picture(header_only, "a.png", check_size=refuse)
    with pytest.raises(ImageError, match="cannot be decoded"):
        decode_picture(header_only, "a.png", check_size=lambda name, size: None)


def test_memory_that_is_not_there_is_one_clear_error(monkeypatch):
    def crop(self, box):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "crop", crop)
    with pytest.raises(ImageMemoryError, match=r"not enough memory .* reduce it") as caught:
        decode_picture(encode(PICTURE, "PNG"), "a.png")
    assert isinstance(caught.value, MemoryError)
