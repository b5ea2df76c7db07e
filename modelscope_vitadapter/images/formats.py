"""The formats of image files that are read, and which of them a file has."""

import io
import struct

from PIL import Image, ImageFile

from modelscope_vitadapter.errors import ImageError

FORMATS = (
    *("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "HEIF", "JPEG2000", "MPO", "PPM"),
    *("ICO", "TGA", "PCX", "SGI", "QOI", "PSD"),
)
"""Pillow's formats that are read: those that images come in and that Pillow decodes itself. Of the
others, one starts a program (EPS: Ghostscript) and some replay drawing commands. HEIF needs a
plug-in of Pillow, which is registered where a file asks for it."""

HEIF_BRANDS = frozenset(b"heic heix heim heis hevc hevx hevm hevs mif1 mif2 msf1".split())
"""What HEIF files begin with after `ftyp`; `mif1` and `msf1` are AVIF's too."""


def open_format(content: bytes, name: str) -> ImageFile.ImageFile | None:
    """The first of Pillow's formats that takes a file; None where none does."""
    Image.init()
    if content[4:8] == b"ftyp" and content[8:12] in HEIF_BRANDS and "HEIF" not in Image.OPEN:
        _register_heif(content, name)
    for factory, accept in (Image.OPEN[kind] for kind in FORMATS if kind in Image.OPEN):
        try:
            accepted = accept is None or accept(content[:16])
            if accepted and not isinstance(accepted, str):  # a text says why it is not read
                return factory(io.BytesIO(content), "")
        except (SyntaxError, IndexError, TypeError, struct.error):  # not of this format after all
            continue
    return None


def _register_heif(content: bytes, name: str) -> None:
    """Has Pillow read HEIF from now on; a brand that AVIF has too needs no plug-in for that."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        if b"avif" in content[8:64]:
            return
        raise ImageError(
            f"{name} is a HEIC image, which Pillow reads only with a plug-in; install it "
            "(pip install pillow-heif), or convert the image to JPEG first"
        ) from error
    register_heif_opener()
