"""How images are read where what a file says is not enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modelscope_vitadapter.hints import option
from modelscope_vitadapter.validation import parse_count

EXIF_CHOICES = ("apply", "ignore")


@dataclass(frozen=True)
class ReadOptions:
    """Options of reading an image; the defaults are right for photos.

    Raises:
        ValueError: a value is not what its field takes; the message names both.
    """

    max_pixels: int | None = None
    """Most pixels, see `decode.decode_image`."""
    exif: str = "apply"
    """`apply` turns images as their EXIF orientation says, `ignore` leaves them as stored."""
    bands: Sequence[int] | None = None
    """Bands of a TIFF, counted from 1, that are red, green and blue, or one that is grey."""
    value_range: Sequence[float] | None = None
    """Values `(black, white)` of images that use another range than 0 to 255 or 65535."""

    def __post_init__(self) -> None:
        if self.max_pixels is not None:
            parse_count("max_pixels", self.max_pixels)
        if self.exif not in EXIF_CHOICES:
            raise ValueError(f"exif={self.exif!r}: expected one of {', '.join(EXIF_CHOICES)}")
        bands: Any = self.bands
        if bands is not None:
            if (
                not isinstance(bands, Sequence)
                or isinstance(bands, str)
                or len(bands) not in (1, 3)
            ):
                example = option("bands", (3, 2, 1))
                raise ValueError(
                    f"{option('bands', bands)}: expected one band or three, as in {example}"
                )
            for one in bands:
                parse_count("bands", one)
        limits: Any = self.value_range
        if limits is not None:
            shown = option("value_range", limits)
            known = isinstance(limits, Sequence) and len(limits) == 2
            if not known or not all(isinstance(one, int | float) for one in limits):
                raise ValueError(f"{shown}: expected two numbers, black and white")
            if not limits[0] < limits[1]:
                raise ValueError(f"{shown}: expected black below white")


DEFAULT = ReadOptions()
