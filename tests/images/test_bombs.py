"""What is told from a picture's bytes before they are decoded."""

import struct

import numpy as np
import pytest
from PIL import Image

from modelscope_vitadapter.errors import ImageError
from modelscope_vitadapter.images.bombs import MAX_SCANS, MAX_TABLE, refuse_bombs
from modelscope_vitadapter.images.inputs import read_image
from tests.images.makers import (
    PICTURE,
    encode,
    frames,
    in_mode,
    jpeg_of_scans,
    jpeg_with_exif,
    segment,
    tiff_of_strips,
)

NOISE = Image.fromarray(np.random.default_rng(4).integers(0, 256, (300, 400, 3)).astype(np.uint8))
BOMB = jpeg_of_scans(64, MAX_SCANS + 1)


def is_refused(content):
    try:
        refuse_bombs(content, "picture.jpg")
    except ImageError as error:
        assert str(error).startswith("picture.jpg has ")
        return True
    return False


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 100}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_ordinary_jpegs_pass(mode, options):
    content = encode(NOISE.convert(mode), "JPEG", **options)
    assert not is_refused(content)
    assert not is_refused(content[: len(content) // 2])
    assert not is_refused(content + BOMB)  # what follows a picture's end is not decoded


def test_the_number_of_scans_decides():
    assert not is_refused(jpeg_of_scans(64, MAX_SCANS))
    assert read_image(jpeg_of_scans(64, MAX_SCANS)).shape == (64, 64, 3)
    assert is_refused(BOMB)


def test_scans_are_found_behind_whatever_precedes_them():
    start, rest = BOMB[:2], BOMB[2:]
    for between in (
        segment(0xE0, bytes(60_000)),
        b"\xff\xd9",  # an end before any scan: Pillow looks on
        b"\xff\xff\xff",
        b"\xff\x01",
        segment(0xE2, encode(PICTURE, "JPEG")),
    ):
        assert is_refused(start + between + rest)


def test_pictures_inside_segments_do_not_count():
    assert not is_refused(jpeg_with_exif(1)[:2] + segment(0xE1, BOMB) + encode(PICTURE, "JPEG")[2:])


def test_scans_of_single_channels_count_without_refinements_too():
    frame = segment(0xC0, struct.pack(">BHHB", 8, 64, 64, 3) + b"\1\x11\0\2\x11\0\3\x11\0")
    scan = segment(0xDA, b"\1\1\0\0\x3f\0") + b"\x55"
    assert not is_refused(b"\xff\xd8" + frame + scan * MAX_SCANS)
    assert is_refused(b"\xff\xd8" + frame + scan * (MAX_SCANS + 1))


def test_only_the_first_of_a_file_of_several_jpegs_counts():
    whole = encode(PICTURE, "MPO", save_all=True, append_images=frames()[1:])
    assert not is_refused(whole)


@pytest.mark.parametrize("length", range(0, 60, 7))
def test_beginnings_of_files_are_left_to_the_decoder(length):
    for content in (BOMB, tiff_of_strips(2), encode(PICTURE, "TIFF", big_tiff=True)):
        assert not is_refused(content[:length])


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "CMYK", "P"])
def test_ordinary_tiffs_pass(mode, big):
    assert not is_refused(encode(in_mode(mode), "TIFF", big_tiff=big))


def test_a_long_list_of_bytes_is_no_table():
    content = bytearray(tiff_of_strips(MAX_TABLE + 1))
    assert is_refused(bytes(content))
    place = content.index(struct.pack("<HHI", 273, 1, MAX_TABLE + 1))
    content[place : place + 2] = struct.pack("<H", 50839)  # ImageJ's notes
    assert not is_refused(bytes(content))
    content[place + 2 : place + 4] = struct.pack("<H", 4)
    assert is_refused(bytes(content))


def bigtiff(order, tag, kind, count):
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(f"{order}HHHQ", 43, 8, 0, 16)
    return head + struct.pack(f"{order}QHHQQ", 1, tag, kind, count, 0)


@pytest.mark.parametrize("order", ["<", ">"])
def test_tables_of_bigtiff(order):
    assert is_refused(bigtiff(order, 324, 16, 2**40))
    assert not is_refused(bigtiff(order, 324, 16, MAX_TABLE))
    many = bigtiff(order, 324, 16, 1)
    assert is_refused(many[:16] + struct.pack(f"{order}Q", 2**63) + many[24:])
