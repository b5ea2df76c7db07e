"""What `docs/pictures.md` says is refused: a form to inputs of it, and words of the reason."""

import contextlib
import io
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from modelscope_vitadapter.errors import ImageError, ImageNotFoundError, ImageTypeError
from tests.images.answered import wrong_checksum
from tests.images.makers import (
    BGR,
    NOISE,
    PICTURE,
    RGB,
    chunk,
    encode,
    huge_gif,
    huge_tiff,
    icon,
    jpeg_of_scans,
    jpeg_with_exif,
    png,
    tiff_of_strips,
)

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


def corrupted_png():
    content = encode(PICTURE, "PNG")
    place = content.index(b"IDAT") + 8
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


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
    values = BGR.astype(np.float32)
    values[3, 4, 1] = value
    return values


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
    "HEIC without a plug-in of Pillow": content(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)),
    "JPEG, cut short": cut("JPEG"),
    "PNG, cut short": cut("PNG"),
    "PNG, header only": content(b"\x89PNG\r\n\x1a\n"),
    "PNG with damaged bytes inside": Refused(lambda: [corrupted_png()], DAMAGED),
    "PNG whose head has a wrong checksum": content(wrong_checksum(b"IHDR")),
    "PNG of no width": Refused(lambda: [png(0, 5, 8, 2, b"")], "is empty|can't be|is no image"),
    "WebP, cut short": cut("WEBP"),
    "TIFF, cut short": Refused(lambda: [encode(NOISE, "TIFF")[:-500]], DAMAGED),
    "GIF, cut short": cut("GIF"),
    "BMP, cut short": cut("BMP"),
    "values beyond 16 bits": Refused(
        lambda: [encode(Image.fromarray(np.array([[-1, 65536]], np.int32)), "TIFF")],
        "values from -1 to 65536.* scale it first",
    ),
    "floats beyond 0 to 255": Refused(
        lambda: [encode(Image.fromarray(np.array([[-1, 300]], np.float32)), "TIFF")],
        "values from -1.0 to 300.0.* scale it first",
    ),
    "decompression bomb, PNG": Refused(
        lambda: [png(30_000, 30_000, 8, 2, b"")], r"900000000 pixels.*max_pixels="
    ),
    "decompression bomb, GIF": Refused(
        lambda: [huge_gif(65535)], r"4294836225 pixels.*max_pixels="
    ),
    "decompression bomb, TIFF": Refused(lambda: [huge_tiff(65535)], r"4294836225 pixels"),
    "decompression bomb, inside an icon": Refused(
        lambda: [icon(png(30_000, 30_000, 8, 2, b""), 16, 16)],
        r"900000000 pixels.*MAX_IMAGE_PIXELS",
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
    "decompression bomb, comment of a PNG": Refused(lambda: [text_bomb()], DAMAGED),
    "more than `max_pixels`": Refused(
        lambda: [encode(PICTURE, "PNG"), encode(PICTURE, "JPEG"), PICTURE],
        "768 pixels .*at most 767.*reduce it first",
        options={"max_pixels": 767},
    ),
    "array without elements": array("is empty; expected", BGR[:0], BGR[:, :0], np.array([])),
    "array of 1 or of 4 and more dimensions": array(
        "is no image: expected", RGB.ravel(), BGR[None], BGR[None, None]
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
        "elements of type",
        BGR.astype(complex),
        np.array([["a"]]),
        BGR.astype(object),
        error=ImageTypeError,
    ),
    "PIL image without pixels": array("is empty", Image.new("L", (0, 4))),
    "None, numbers, open files, tensors": array(
        "is no image: expected a path", None, 7, io.BytesIO(b"x"), error=ImageTypeError
    ),
    "file that does not exist": array(
        "does not exist, .* check the path", "missing.png", error=ImageNotFoundError
    ),
    "pipe or device": Refused(devices, "is a pipe or a device.* pass the bytes"),
    "directory": array("is a directory", "."),
    "address of another scheme than http and https": array(
        "are not read",
        "file:///etc/hostname",
        "FTP://me:password@example.org/a.png",
        "s3://b/a.png",
    ),
    "data: URL": array("data URL.*b64decode", "data:image/png;base64,iVBORw0KGgo="),
}
