"""What `docs/pictures.md` says of images: forms to inputs of them, and what comes of these."""

import contextlib
import io
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from modelscope_vitadapter.errors import ImageError, ImageNotFoundError, ImageTypeError
from tests.images.makers import (
    BGR,
    GREY_16,
    NOISE,
    PICTURE,
    RGB,
    big_endian_tiff,
    chunk,
    encode,
    frames,
    geotiff,
    icon,
    in_mode,
    interlaced_png,
    jpeg_of_scans,
    jpeg_with_exif,
    png,
    png_of,
    png_with_long_exif,
    psd,
    qoi,
    tiff,
    tiff_of_16_bits,
    tiff_of_strips,
    translucent,
    turned,
)


@dataclass(frozen=True)
class Answered:
    """`make` gives the inputs; `expected` their pixels, None for those of ModelScope's loader.

    `suffix` is the file name's, `writer` Pillow's format that this build may lack, `options` are
    of reading.
    """

    make: Callable[[], list[Any]]
    expected: Any = None
    suffix: str = ".img"
    writer: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


def plain(kind, image=PICTURE, **options):
    return Answered(lambda: [encode(image, kind, **options)], writer=kind)


def grey(values):
    return np.repeat(np.rint(values / 257).astype(np.uint8)[:, :, None], 3, axis=2)


def changed(content, *places):
    """A file with some bytes that are wrong."""
    content = bytearray(content)
    for place in places:
        content[place] ^= 0x55
    return bytes(content)


def wrong_checksum(kind):
    place = PNG.index(kind)
    return changed(PNG, place + 4 + int.from_bytes(PNG[place - 4 : place], "big"))


def several(kind):
    return plain(kind, save_all=True, append_images=frames()[1:])


def noise(height, width):
    pixels = np.random.default_rng(6).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return Answered(lambda: [encode(Image.fromarray(pixels), "PNG")], pixels[:, :, ::-1])


PNG = encode(PICTURE, "PNG")
LARGER = encode(PICTURE.resize((64, 48)), "JPEG", quality=90)
HALF = len(LARGER) // 2
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
COLOURS = ((4, 2), (16, 4))
COMPRESSIONS = ("tiff_lzw", "tiff_adobe_deflate", "jpeg")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB")
EXIF_WRITERS = ("JPEG", "PNG", "WEBP", "TIFF")
WIDE = np.dstack([RGB.astype(np.uint16) * 257 + 40] * 2)[:, :, :4].copy()
FLOATS = (BGR / 3).astype(np.float32)

GREY_12 = GREY_16 // 16
GREY_OF_12 = np.repeat(np.rint(GREY_12 * (255 / 4095)).astype(np.uint8)[:, :, None], 3, axis=2)
EIGHT_BANDS = np.stack([RGB[:, :, k % 3] // (k // 3 + 1) for k in range(8)])


def heic():
    import pillow_heif

    pillow_heif.register_heif_opener()  # for ModelScope's loader
    return encode(PICTURE, "HEIF", quality=90)


def of_12_bits():
    """Files that say that they use 12 of 16 bits."""
    image = Image.fromarray(GREY_12)
    depth = chunk(b"sBIT", b"\x0c")
    return [
        png_of(GREY_12[:, :, None], 0, more=depth),
        encode(image, "TIFF", tiffinfo={281: 4095}),
    ]


ANSWERED = {
    "JPEG": plain("JPEG", quality=90),
    "JPEG, progressive": plain("JPEG", progressive=True),
    "JPEG, grey": plain("JPEG", in_mode("L")),
    "JPEG, CMYK (stored inverted, as Adobe does)": plain("JPEG", in_mode("CMYK")),
    "JPEG with damaged bytes inside": Answered(lambda: [changed(LARGER, HALF, HALF + 5)]),
    "JPEG with other bytes after its end": Answered(lambda: [LARGER + b"x" * 99]),
    "JPEG whose end is zeros": Answered(
        lambda: [LARGER[:end] + bytes(4096) for end in (-2, HALF + 300)]
    ),
    "MPO (several JPEGs of a stereo camera)": several("MPO"),
    "PNG": plain("PNG"),
    "PNG without its end": Answered(lambda: [PNG[: PNG.index(b"IEND") - 4]]),
    "PNG whose pixels have a wrong checksum": Answered(lambda: [wrong_checksum(b"IDAT")]),
    "PNG, interlaced": Answered(lambda: [interlaced_png()], BGR),
    "PNG, 1 bit": plain("PNG", in_mode("1")),
    "PNG, 2 or 4 bits": Answered(
        lambda: [encode(PICTURE.quantize(colors), "PNG", bits=bits) for colors, bits in COLOURS]
    ),
    "PNG, grey with alpha": plain("PNG", translucent("LA")),
    "PNG with alpha": plain("PNG", translucent()),
    "PNG, palette": plain("PNG", in_mode("P")),
    "PNG, palette with transparency": plain(
        "PNG", in_mode("P"), transparency=bytes(range(0, 256, 3))
    ),
    "PNG with a transparent colour": plain("PNG", transparency=(0, 0, 255)),
    "PNG, 16-bit grey": Answered(lambda: [encode(Image.fromarray(GREY_16), "PNG")], grey(GREY_16)),
    "PNG, 16-bit colour": Answered(lambda: [png_of(WIDE[:, :, :3], 2), png_of(WIDE, 6)]),
    "PNG or TIFF, 16 bits of which it names fewer": Answered(of_12_bits, GREY_OF_12),
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
    "ICO": Answered(lambda: [icon(PNG)], BGR),
    "TGA": plain("TGA"),
    "PCX": plain("PCX"),
    "SGI": plain("SGI"),
    "QOI": Answered(lambda: [qoi()], BGR),
    "PSD": Answered(lambda: [psd()], BGR),
    "JPEG 2000": plain("JPEG2000"),
    "AVIF": plain("AVIF"),
    "HEIC": Answered(lambda: [heic()]),
    "TIFF": plain("TIFF"),
    "TIFF, compressed (LZW, Deflate, JPEG)": Answered(
        lambda: [encode(PICTURE, "TIFF", compression=kind) for kind in COMPRESSIONS]
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
        lambda: [encode(Image.fromarray(FLOATS[:, :, 0].copy()), "TIFF")],
        np.repeat(FLOATS[:, :, :1], 3, axis=2),
    ),
    "TIFF of 4 bands without colours, or of 3 of floats or small integers": Answered(
        lambda: [
            geotiff(EIGHT_BANDS[:4], photometric="minisblack"),
            geotiff(EIGHT_BANDS[:4].astype(np.uint16) * 257, photometric="minisblack"),
            geotiff(EIGHT_BANDS[:3].astype(np.int16)),
        ],
        BGR,
    ),
    "TIFF with `bands`": Answered(
        lambda: [geotiff(EIGHT_BANDS), encode(PICTURE, "TIFF")],
        BGR[:, :, ::-1],
        options={"bands": (3, 2, 1)},
    ),
    "values of another range, with `value_range`": Answered(
        lambda: [GREY_12, Image.fromarray(GREY_12), encode(Image.fromarray(GREY_12), "PNG")],
        GREY_OF_12,
        options={"value_range": (0, 4095)},
    ),
    "EXIF orientation, with `exif='ignore'`": Answered(
        lambda: [turned(kind, turn) for kind in ("PNG", "TIFF") for turn in range(1, 9)],
        BGR,
        options={"exif": "ignore"},
    ),
    "EXIF orientations 1 to 8": Answered(
        lambda: [turned(kind, turn) for kind in EXIF_WRITERS for turn in range(1, 9)]
    ),
    "EXIF orientation of another number": Answered(
        lambda: [turned(kind, turn) for kind in EXIF_WRITERS for turn in (0, 9)]
    ),
    "EXIF data that is damaged": Answered(
        lambda: [
            encode(PICTURE, "PNG", exif=b"Exif\0\0" + rest)
            for rest in (b"garbage", b"II*\0\xff\xff\xff\x7f", b"")
        ],
        BGR,
    ),
    "EXIF data of more than 4 MiB": Answered(lambda: [png_with_long_exif(2**21)], BGR),
    "ICC profile": plain("PNG", icc_profile=PROFILE),
    "ICC profile that is damaged": plain("PNG", icc_profile=b"no profile"),
    "wrong extension": Answered(lambda: [PNG], BGR, suffix=".jpg"),
    "no extension": Answered(lambda: [PNG], BGR, suffix=""),
    **{
        f"{height} x {width}": noise(height, width)
        for height, width in ((1, 1), (1, 10000), (10000, 1), (40, 8000), (8000, 40))
    },
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

KNOWN_FORMATS = "is no image that is read .* convert it first"
DAMAGED = "can't be decoded .* save it anew"


@dataclass(frozen=True)
class Refused:
    """`make` gives the inputs; bytes are tried as a file too. `words` is looked for as a regex."""

    make: Callable[[], list[Any]]
    words: str
    error: type[Exception] = ImageError
    options: dict[str, Any] = field(default_factory=dict)


def content(*contents, words=KNOWN_FORMATS):
    return Refused(lambda: list(contents), words)


def cut(kind):
    return Refused(
        lambda: [whole[: len(whole) * k // 4] for whole in [encode(NOISE, kind)] for k in (2, 3)],
        DAMAGED,
    )


def array(words, *arrays, error=ImageError):
    return Refused(lambda: list(arrays), words, error)


def beyond(words, kind, highest):
    return Refused(
        lambda: [encode(Image.fromarray(np.array([[-1, highest]], kind)), "TIFF")], words
    )


def text_bomb():
    """A sound PNG with 200 MB of zeros in a compressed comment."""
    packer = zlib.compressobj(9)
    comment = b"".join(packer.compress(bytes(2**20)) for _ in range(200)) + packer.flush()
    more = chunk(b"zTXt", b"Comment\0\0" + comment)
    return png(1, 1, 8, 2, b"\0abc", more=more)


def devices():
    if not hasattr(os, "mkfifo"):
        return ["NUL"]
    with contextlib.suppress(FileExistsError):
        os.mkfifo("pipe")
    return ["pipe", "/dev/zero"]


def with_value(value):
    return np.where(BGR.max() == BGR, np.float32(value), BGR)


HUGE_PNG = png(30_000, 30_000, 8, 2, b"")
REFUSED = {
    "zero bytes": Refused(lambda: [b""], "is empty, expected an encoded image"),
    "text": content(b"hello, world\n", b"a" * 5000),
    "HTML": content(b"<!doctype html><p>404"),
    "SVG": content(b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>"),
    "PDF": content(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"),
    "EPS": content(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"),
    "WMF and EMF": content(
        b"\xd7\xcd\xc6\x9a" + bytes(200), b"\1\0\0\0\x58\0\0\0" + bytes(32) + b" EMF" + bytes(200)
    ),
    "random bytes": content(np.random.default_rng(8).bytes(5000), bytes(5000)),
    "HEIC without pillow-heif": content(
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200), words="pip install pillow-heif"
    ),
    "JPEG, cut short": cut("JPEG"),
    "PNG, cut short": cut("PNG"),
    "PNG, header only": content(b"\x89PNG\r\n\x1a\n"),
    "PNG with damaged bytes inside": Refused(
        lambda: [changed(PNG, PNG.index(b"IDAT") + 8)], DAMAGED
    ),
    "PNG whose head has a wrong checksum": content(wrong_checksum(b"IHDR")),
    "PNG of no width": Refused(lambda: [png(0, 5, 8, 2, b"")], "is empty|can't be|is no image"),
    "WebP, cut short": cut("WEBP"),
    "TIFF, cut short": Refused(lambda: [encode(NOISE, "TIFF")[:-500]], DAMAGED),
    "GIF, cut short": cut("GIF"),
    "BMP, cut short": cut("BMP"),
    "values beyond 16 bits": beyond("values from -1 to 65536.* scale it first", np.int32, 65536),
    "floats beyond 0 to 255": beyond("values from -1.0 to 300.0.* scale it", np.float32, 300),
    "decompression bomb, PNG": Refused(lambda: [HUGE_PNG], r"900000000 pixels.*max_pixels="),
    "decompression bomb, GIF": Refused(
        lambda: [encode(PICTURE, "GIF").replace(b"\x20\0\x18\0", b"\xff" * 4)],
        r"4294836225 .*max_pixels=",
    ),
    "decompression bomb, TIFF": Refused(
        lambda: [tiff({256: 65535, 257: 65535, 258: 8, 262: 1, 273: 8, 277: 1})],
        "4294836225 pixels",
    ),
    "decompression bomb, inside an icon": Refused(
        lambda: [icon(HUGE_PNG, 16, 16)], r"900000000 pixels.*MAX_IMAGE_PIXELS"
    ),
    "JPEG that passes over its pixels more than 100 times": Refused(
        lambda: [jpeg_of_scans(64, 101), jpeg_of_scans(8000, 20_000)], "more than 100 passes"
    ),
    "JPEG with EXIF data of more than 64 segments": Refused(
        lambda: [jpeg_with_exif(65), jpeg_with_exif(1000, 65_000)], "more than 64 segments"
    ),
    "TIFF with a table of more than 262144 numbers": Refused(
        lambda: [tiff_of_strips(4_000_000), tiff_of_strips(400_000, 4)],
        "00000 numbers in entry 273",
    ),
    "TIFF of 5 and more bands": Refused(
        lambda: [geotiff(EIGHT_BANDS)], r"8 bands, uint8, values 0 to 255; .* bands=\(3, 2, 1\)"
    ),
    "band that a TIFF does not have": Refused(
        lambda: [geotiff(EIGHT_BANDS)], "has 8 bands, .* at least 9", options={"bands": [9]}
    ),
    "decompression bomb, comment of a PNG": Refused(lambda: [text_bomb()], DAMAGED),
    "more than `max_pixels`": Refused(
        lambda: [PNG, encode(PICTURE, "JPEG"), PICTURE],
        "768 pixels .*at most 767.*reduce it first",
        options={"max_pixels": 767},
    ),
    "array without elements": array("is empty; expected", BGR[:0], BGR[:, :0], np.array([])),
    "array of 1 or of 4 and more dimensions": array(
        "expected .*(as bytes|batch as a list|to 255$)", RGB.ravel(), BGR[None], BGR[None, None]
    ),
    "array with 2 or with 5 and more channels": array(
        "is no image: expected", BGR[:, :, :2], np.dstack([BGR, BGR])
    ),
    "array with channels first": array("the channels seem to come first", BGR.transpose(2, 0, 1)),
    "array with values beyond 0 to 255": array(
        "scale it first", BGR.astype(np.int16) - 1, BGR.astype(np.uint16) * 257, with_value(-0.5)
    ),
    "array with NaN or infinite values": array(
        "NaN or infinite values", with_value(np.nan), with_value(np.inf)
    ),
    "array of complex numbers, texts or objects": array(
        *("elements of type", BGR.astype(complex), np.array([["a"]]), BGR.astype(object)),
        error=ImageTypeError,
    ),
    "PIL image without pixels": array("is empty", Image.new("L", (0, 4))),
    "None, numbers, open files, tensors": array(
        "is no image: expected a path", None, 7, io.BytesIO(b"x"), error=ImageTypeError
    ),
    "video": array("is a video, expected an image; pass it to the pipeline", "a.mp4"),
    "what a VideoCapture's read() gives": array(
        "pass the frame alone", (True, BGR), error=ImageTypeError
    ),
    "file that does not exist": array(
        "does not exist, .* check the path", "missing.png", error=ImageNotFoundError
    ),
    "pipe or device": Refused(devices, "is a pipe or a device.* pass the bytes"),
    "directory": array("is a directory", "."),
    "address of another scheme than http and https": array(
        *("are not read", "file:///etc/hostname", "FTP://me:password@example.org/a", "s3://b/a"),
    ),
    "data: URL": array("data URL.*b64decode", "data:image/png;base64,iVBORw0KGgo="),
}
