"""What `docs/pictures.md` says is answered: a form to inputs of it, and what they give."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from tests.images.makers import (
    BGR,
    GREY_16,
    PICTURE,
    RGB,
    big_endian_tiff,
    encode,
    frames,
    icon,
    in_mode,
    interlaced_png,
    palette_with_transparency,
    png_of,
    png_with_long_exif,
    psd,
    qoi,
    tiff_of_16_bits,
    translucent,
    with_exif,
)


@dataclass(frozen=True)
class Answered:
    """`make` gives the inputs; `expected` their pixels, None for those of ModelScope's loader.

    `suffix` is the file name's, `writer` Pillow's format that this build may lack.
    """

    make: Callable[[], list[Any]]
    expected: Any = None
    suffix: str = ".img"
    writer: str | None = None


def plain(kind, image=PICTURE, **options):
    return Answered(lambda: [encode(image, kind, **options)], writer=kind)


def grey(values):
    return np.repeat(np.rint(values / 257).astype(np.uint8)[:, :, None], 3, axis=2)


def damaged_jpeg():
    """A JPEG with two wrong bytes among its pixels; libjpeg goes on after them."""
    content = bytearray(encode(LARGER, "JPEG", quality=90))
    for place in (len(content) // 2, len(content) // 2 + 5):
        content[place] ^= 0x55
    return bytes(content)


def without_end(png):
    return png[: png.index(b"IEND") - 4]


def wrong_checksum(kind):
    content = encode(PICTURE, "PNG")
    place = content.index(kind)
    end = place + 4 + int.from_bytes(content[place - 4 : place], "big")
    return content[:end] + bytes([content[end] ^ 1]) + content[end + 1 :]


def several(kind):
    return plain(kind, save_all=True, append_images=frames()[1:])


def ones(height, width):
    pixels = np.random.default_rng(6).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return Answered(lambda: [encode(Image.fromarray(pixels), "PNG")], pixels[:, :, ::-1])


LARGER = PICTURE.resize((64, 48))
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
COLOURS = ((4, 2), (16, 4))
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB")
EXIF_WRITERS = ("JPEG", "PNG", "WEBP", "TIFF")
WIDE = np.dstack([RGB.astype(np.uint16) * 257 + 40] * 2)[:, :, :4].copy()
FLOATS = (BGR / 3).astype(np.float32)

ANSWERED = {
    "JPEG": plain("JPEG", quality=90),
    "JPEG, progressive": plain("JPEG", progressive=True),
    "JPEG, grey": plain("JPEG", in_mode("L")),
    "JPEG, CMYK (stored inverted, as Adobe does)": plain("JPEG", in_mode("CMYK")),
    "JPEG with damaged bytes inside": Answered(lambda: [damaged_jpeg()]),
    "JPEG with other bytes after its end": Answered(lambda: [encode(PICTURE, "JPEG") + b"x" * 99]),
    "JPEG whose end is zeros": Answered(
        lambda: [
            whole[:length] + bytes(4096)
            for whole in [encode(LARGER, "JPEG", quality=90)]
            for length in (len(whole) - 2, len(whole) // 2 + 300)
        ]
    ),
    "MPO (several JPEGs of a stereo camera)": several("MPO"),
    "PNG": plain("PNG"),
    "PNG without its end": Answered(lambda: [without_end(encode(PICTURE, "PNG"))]),
    "PNG whose pixels have a wrong checksum": Answered(lambda: [wrong_checksum(b"IDAT")]),
    "PNG, interlaced": Answered(lambda: [interlaced_png()], BGR),
    "PNG, 1 bit": plain("PNG", in_mode("1")),
    "PNG, 2 or 4 bits": Answered(
        lambda: [encode(PICTURE.quantize(colors), "PNG", bits=bits) for colors, bits in COLOURS]
    ),
    "PNG, grey with alpha": plain("PNG", translucent("LA")),
    "PNG with alpha": plain("PNG", translucent()),
    "PNG, palette": plain("PNG", in_mode("P")),
    "PNG, palette with transparency": plain("PNG", palette_with_transparency()),
    "PNG with a transparent colour": plain("PNG", transparency=(0, 0, 255)),
    "PNG, 16-bit grey": Answered(lambda: [encode(Image.fromarray(GREY_16), "PNG")], grey(GREY_16)),
    "PNG, 16-bit colour": Answered(lambda: [png_of(WIDE[:, :, :3], 2), png_of(WIDE, 6)]),
    "PNG, animated": several("PNG"),
    "WebP": plain("WEBP"),
    "WebP, lossless": plain("WEBP", lossless=True),
    "WebP with alpha": plain("WEBP", translucent()),
    "WebP, animated": several("WEBP"),
    "GIF": plain("GIF"),
    "GIF with transparency": plain("GIF", in_mode("P"), transparency=7),
    "GIF, animated": several("GIF"),
    "BMP": Answered(lambda: [encode(in_mode(mode), "BMP") for mode in ("RGB", "L", "P", "1")]),
    "PPM, PGM and PBM": Answered(
        lambda: [encode(in_mode(mode), "PPM") for mode in ("RGB", "L", "1")]
    ),
    "PGM, 16 bits": Answered(
        lambda: [encode(Image.fromarray(GREY_16.astype(np.int32)), "PPM")], grey(GREY_16)
    ),
    "ICO": Answered(lambda: [icon(encode(PICTURE, "PNG"))], BGR),
    "TGA": plain("TGA"),
    "PCX": plain("PCX"),
    "SGI": plain("SGI"),
    "QOI": Answered(lambda: [qoi()], BGR),
    "PSD": Answered(lambda: [psd()], BGR),
    "JPEG 2000": plain("JPEG2000"),
    "AVIF": plain("AVIF"),
    "TIFF": plain("TIFF"),
    "TIFF, compressed (LZW, Deflate, JPEG)": Answered(
        lambda: [
            encode(PICTURE, "TIFF", compression=kind)
            for kind in ("tiff_lzw", "tiff_adobe_deflate", "jpeg")
        ]
    ),
    "TIFF, several pages": several("TIFF"),
    "TIFF beyond 4 GiB (BigTIFF)": plain("TIFF", big_tiff=True),
    "TIFF, 1 bit, fax": plain("TIFF", in_mode("1"), compression="group4"),
    "TIFF, palette, CMYK, YCbCr or LAB": Answered(
        lambda: [encode(in_mode(mode), "TIFF") for mode in ("P", "CMYK", "YCbCr", "LAB")]
    ),
    "TIFF, 16-bit colour or CMYK": Answered(lambda: [tiff_of_16_bits(3, 2), tiff_of_16_bits(4, 5)]),
    "TIFF with alpha": plain("TIFF", translucent()),
    "TIFF, 16-bit grey": Answered(
        lambda: [encode(Image.fromarray(GREY_16), "TIFF"), big_endian_tiff()], grey(GREY_16)
    ),
    "TIFF, 32-bit integers up to 65535": Answered(
        lambda: [encode(Image.fromarray(GREY_16.astype(np.int32)), "TIFF")], grey(GREY_16)
    ),
    "TIFF, floats from 0 to 255": Answered(
        lambda: [encode(Image.fromarray(np.ascontiguousarray(FLOATS[:, :, 0])), "TIFF")],
        np.repeat(FLOATS[:, :, :1], 3, axis=2),
    ),
    "EXIF orientations 1 to 8": Answered(
        lambda: [with_exif(kind, turn) for kind in EXIF_WRITERS for turn in range(1, 9)]
    ),
    "EXIF orientation of another number": Answered(
        lambda: [with_exif(kind, turn) for kind in EXIF_WRITERS for turn in (0, 9)]
    ),
    "EXIF data that is damaged": Answered(
        lambda: [
            with_exif("PNG", raw=raw)
            for raw in (b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0")
        ],
        BGR,
    ),
    "EXIF data of more than 4 MiB": Answered(lambda: [png_with_long_exif(2**21)], BGR),
    "ICC profile": plain("PNG", icc_profile=PROFILE),
    "ICC profile that is damaged": plain("PNG", icc_profile=b"no profile"),
    "wrong extension": Answered(lambda: [encode(PICTURE, "PNG")], BGR, suffix=".jpg"),
    "no extension": Answered(lambda: [encode(PICTURE, "PNG")], BGR, suffix=""),
    "1 x 1": ones(1, 1),
    "1 x 10000": ones(1, 10000),
    "10000 x 1": ones(10000, 1),
    "40 x 8000": ones(40, 8000),
    "8000 x 40": ones(8000, 40),
    "PIL image of any mode": Answered(lambda: [in_mode(mode) for mode in MODES]),
    "array of 8 bits, with or without alpha": Answered(
        lambda: [BGR.copy(), BGR, np.dstack([BGR, BGR[:, :, 0]])], BGR
    ),
    "array of one channel": Answered(
        lambda: [BGR[:, :, 0], BGR[:, :, :1]], np.repeat(BGR[:, :, :1], 3, axis=2)
    ),
    "array of booleans": Answered(lambda: [BGR > 99], 255 * (BGR > 99).astype(np.uint8)),
    "array of other integers from 0 to 255": Answered(
        lambda: [BGR.astype(kind) for kind in ("i2", ">u2", "i8")], BGR
    ),
    "array of floats from 0 to 255": Answered(lambda: [FLOATS, FLOATS.astype("f8")], FLOATS),
}
