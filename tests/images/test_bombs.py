"""What is told from an image's bytes before they are decoded; the bombs are in the table."""

import struct

import pytest

from modelscope_vitadapter.errors import ImageError
from modelscope_vitadapter.images.bombs import MAX_SCANS, MAX_TABLE, refuse_bombs
from modelscope_vitadapter.images.reading import read_image
from tests.images.makers import (
    NOISE,
    PICTURE,
    encode,
    frames,
    jpeg_of_scans,
    jpeg_with_exif,
    segment,
    tiff_of_strips,
)

LARGE, JPEG = NOISE.resize((4000, 3000)), encode(NOISE, "JPEG")
BOMB = jpeg_of_scans(64, MAX_SCANS + 1)


def is_refused(content):
    try:
        refuse_bombs(content, "image.jpg")
    except ImageError:
        return True
    return False


@pytest.mark.parametrize(
    "content",
    [
        encode(LARGE, "JPEG", progressive=True),
        encode(LARGE.convert("CMYK"), "JPEG", progressive=True),
        jpeg_of_scans(64, MAX_SCANS),
        jpeg_with_exif(1)[:2] + segment(0xE1, BOMB) + JPEG[2:],  # inside
        JPEG + BOMB,  # behind its end
        encode(PICTURE, "MPO", save_all=True, append_images=frames() * 40),
        encode(LARGE, "TIFF", tiffinfo={278: 1}),  # a strip a row
        encode(NOISE, "TIFF", big_tiff=True, compression="tiff_lzw"),
    ],
)
def test_what_cameras_and_programs_write_passes(content):
    assert not is_refused(content)
    assert read_image(content).size


@pytest.mark.parametrize(
    "between",
    [
        segment(0xE0, bytes(60_000)),
        b"\xff\xd9",  # an end before any scan: Pillow looks on
        b"\xff\xff\xff",
        b"\xff\x01",
        segment(0xE2, encode(PICTURE, "JPEG")),
    ],
)
def test_scans_are_found_behind_whatever_precedes_them(between):
    assert is_refused(BOMB[:2] + between + BOMB[2:])


def test_scans_of_single_channels_count_without_refinements_too():
    frame = segment(0xC0, struct.pack(">BHHB", 8, 64, 64, 3) + b"\1\x11\0\2\x11\0\3\x11\0")
    scan = segment(0xDA, b"\1\1\0\0\x3f\0") + b"\x55"
    assert is_refused(b"\xff\xd8" + frame + scan * (MAX_SCANS + 1))


def test_a_long_list_of_bytes_is_no_table():
    content = bytearray(tiff_of_strips(MAX_TABLE + 1))
    assert is_refused(bytes(content))
    place = content.index(struct.pack("<HHI", 273, 1, MAX_TABLE + 1))
    content[place : place + 2] = struct.pack("<H", 50839)  # ImageJ's notes
    assert not is_refused(bytes(content))
    content[place + 2 : place + 4] = struct.pack("<H", 4)
    assert is_refused(bytes(content))


@pytest.mark.parametrize("order", ["<", ">"])
def test_tables_of_bigtiff(order):
    def bigtiff(entries, count):
        head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HHHQ", 43, 8, 0, 16)
        return head + struct.pack(f"{order}QHHQQ", entries, 324, 16, count, 0)

    assert is_refused(bigtiff(1, 2**40))
    assert not is_refused(bigtiff(1, MAX_TABLE))
    assert is_refused(bigtiff(2**63, 1))
