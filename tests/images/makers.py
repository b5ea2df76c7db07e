"""Images as bytes, by Pillow where it can, else by hand; and the tables of `docs/pictures.md`."""

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image

HEIGHT, WIDTH = 24, 32
_DOWN, _ACROSS = np.mgrid[:HEIGHT, :WIDTH]
RGB = np.stack([_ACROSS * 8, _DOWN * 10, 255 - 4 * (_DOWN + _ACROSS)], axis=2).astype(np.uint8)
BGR = RGB[:, :, ::-1]
GREY_16 = (_DOWN * 2731 + _ACROSS * 17).astype(np.uint16)
PICTURE = Image.fromarray(RGB)

NOISE = Image.fromarray(np.random.default_rng(2).integers(0, 256, (64, 64, 3)).astype(np.uint8))


def encode(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def in_mode(mode):
    if mode in ("LAB", "HSV"):
        return Image.frombytes(mode, (WIDTH, HEIGHT), RGB.tobytes())
    return (PICTURE.convert("P") if mode == "PA" else PICTURE).convert(mode)


def translucent(mode="RGBA"):
    image = PICTURE.copy()
    image.putalpha(Image.fromarray((_ACROSS * 8).astype(np.uint8)))
    return image.convert(mode)


def frames():
    return [PICTURE, Image.fromarray(255 - RGB), PICTURE.rotate(180)]


def turned(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(PICTURE, kind, exif=exif)


def chunk(kind, content):
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(width, height, depth, colour, rows, *, interlaced=False, more=b""):
    """A PNG file: `rows` are the bytes of its filtered rows, `more` further chunks."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    pixels = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + pixels


def png_of(pixels, colour, **options):
    """A PNG file of an `(H, W, C)` array of 8 or 16 bits."""
    depth = 8 * pixels.dtype.itemsize
    big_endian = pixels.astype(pixels.dtype.newbyteorder(">"))
    rows = b"".join(b"\0" + row.tobytes() for row in big_endian)
    return png(pixels.shape[1], pixels.shape[0], depth, colour, rows, **options)


def interlaced_png():
    """Adam7: seven sparse images one after the other, PNG specification 8.2."""
    passes = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2))
    rows = b""
    for top, down, left, across in (*passes, (1, 2, 0, 1)):
        rows += b"".join(b"\0" + row.tobytes() for row in RGB[top::down, left::across])
    return png(WIDTH, HEIGHT, 8, 2, rows, interlaced=True)


def tiff(entries, data=b"", order="<", bits=4, lists=()):
    """A TIFF file: `data` from byte 8 on, then a directory of 32-bit numbers by tag.

    An entry in `lists` is so many numbers of TIFF's type `bits`, which stand at byte 8.
    """
    directory = struct.pack(f"{order}H", len(entries))
    for tag, value in sorted(entries.items()):
        kind, count = (bits, value) if tag in lists else (4, 1)
        place = 8 if tag in lists else value
        directory += struct.pack(f"{order}HHII", tag, kind, count, place)
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(f"{order}I", 8 + len(data)) + data + directory + bytes(4)


def big_endian_tiff():
    """A TIFF file of 16-bit grey whose numbers are big-endian."""
    data = GREY_16.astype(">u2").tobytes()
    entries = {256: WIDTH, 257: HEIGHT, 258: 16, 259: 1, 262: 1, 273: 8, 277: 1, 278: HEIGHT}
    return tiff({**entries, 279: len(data)}, data, ">")


def tiff_of_16_bits(channels, photometric):
    """A TIFF file of some 16-bit channels, in the order of the bytes of this image."""
    pixels = np.dstack([RGB.astype("<u2") * 257 + 40] * 2)[:, :, :channels]
    entries = {256: WIDTH, 257: HEIGHT, 258: channels, 259: 1, 262: photometric}
    entries |= {273: 8 + 2 * channels, 277: channels, 278: HEIGHT, 279: pixels.nbytes}
    return tiff(entries, b"\x10\0" * channels + pixels.tobytes(), bits=3, lists=[258])


def tiff_of_strips(count, kind=1):
    """A TIFF file of one pixel that lists `count` strips, in numbers of a TIFF type."""
    numbers = (b"\x08" + bytes({1: 0, 3: 1, 4: 3}[kind])) * count
    entries = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 273: count, 277: 1, 278: 1, 279: 1}
    return tiff(entries, numbers, bits=kind, lists=[273])


def png_with_long_exif(count):
    """A PNG with EXIF data in which the orientation is a list of 16-bit numbers, all 6."""
    exif = tiff({274: count}, b"\6\0" * count, bits=3, lists=[274])
    return png_of(RGB, 2, more=chunk(b"eXIf", exif))


def qoi():
    """A QOI file in which each pixel stands in full."""
    pixels = b"".join(b"\xfe" + pixel.tobytes() for pixel in RGB.reshape(-1, 3))
    return b"qoif" + struct.pack(">IIBB", WIDTH, HEIGHT, 3, 0) + pixels + bytes(7) + b"\1"


def psd():
    """A Photoshop file with nothing but the image put together, a channel after the other."""
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, HEIGHT, WIDTH, 8, 3)
    return header + bytes(12) + bytes(2) + RGB.transpose(2, 0, 1).tobytes()


def icon(content, width=WIDTH, height=HEIGHT):
    """An ICO file around an image, with the size that its directory claims."""
    entry = struct.pack("<BBBBHHII", width, height, 0, 0, 1, 32, len(content), 22)
    return struct.pack("<HHH", 0, 1, 1) + entry + content


def segment(marker, content):
    """A segment of a JPEG file."""
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


def jpeg_of_scans(side, scans):
    """A progressive JPEG, grey, each of whose scans says in a few bytes that nothing changes."""
    blocks = (-(-side // 8)) ** 2
    bits = ""
    while blocks > 0:  # runs of up to 32767 blocks, each a code of one bit and 14 bits of length
        run = min(max(blocks, 2**14), 2**15 - 1)
        bits += f"0{run - 2**14:014b}"
        blocks -= run
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    one_code = bytes([1] + [0] * 15)
    head = segment(0xDB, b"\0" + b"\1" * 64)
    head += segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0")
    head += segment(0xC4, b"\x00" + one_code + b"\0") + segment(0xC4, b"\x10" + one_code + b"\xe0")
    scan = segment(0xDA, b"\1\1\0\1\x3f\0") + data
    return b"\xff\xd8" + head + scan * scans + b"\xff\xd9"


def jpeg_with_exif(parts, size=50):
    """A JPEG whose EXIF data is spread over segments."""
    content = encode(PICTURE, "JPEG")
    return content[:2] + segment(0xE1, b"Exif\0\0" + b"x" * size) * parts + content[2:]


def geotiff(bands, tags=None, **profile):
    """A TIFF file of bands `(C, H, W)`, by GDAL; `tags` are its metadata by domain."""
    profile = {"driver": "GTiff", "dtype": bands.dtype, **profile}
    profile |= dict(zip(("count", "height", "width"), bands.shape, strict=True))
    with warnings.catch_warnings(), rasterio.MemoryFile() as file:
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with file.open(**profile) as target:
            target.write(bands)
            for domain, values in (tags or {}).items():
                target.update_tags(ns=domain, **values)
        return file.read()


PAGE = (Path(__file__).parents[2] / "docs" / "pictures.md").read_text(encoding="utf-8")


def rows(section):
    """Form and outcome of each row of the table below a heading of the page."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[1] in ("answer", "refusal"):
            assert cells[0] not in found, f"{cells[0]!r} stands twice in {section!r}"
            assert all(cells), line
            found[cells[0]] = cells[1]
    return found
