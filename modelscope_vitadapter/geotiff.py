"""GeoTIFF files of any size, segmented tile by tile into a GeoTIFF of class ids.

Beside the model, memory holds a row of tiles of the file, never all of it.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.checkpoint.save import written_aside
from modelscope_vitadapter.errors import ImageError, ImageNotFoundError
from modelscope_vitadapter.hints import option
from modelscope_vitadapter.images.depth import NEARLY_BLACK, WHITE_16, Limits, choose_limits
from modelscope_vitadapter.images.naming import describe
from modelscope_vitadapter.images.options import DEFAULT, ReadOptions
from modelscope_vitadapter.images.tiff import (
    MAX_BLOCK,
    bands_to_bgr,
    choose_bands,
    environment,
    hidden_pixels,
    import_rasterio,
)
from modelscope_vitadapter.segmenter import Segmenter
from modelscope_vitadapter.validation import parse_count

TILE = 512  # pixels of a side where the model has no crop size
BLOCK = 256  # pixels of a side of the output's own tiles


def segment_geotiff(
    segmenter: Segmenter,
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    tile: int | None = None,
    overlap: int | None = None,
    options: ReadOptions = DEFAULT,
) -> Path:
    """Segments a GeoTIFF in overlapping square tiles, of each of which the middle is kept.

    Args:
        segmenter: what decides the class of each pixel.
        path: the file; a GeoTIFF is tiled or in strips, of 8 or 16 bits or with a `value_range`.
        output: the GeoTIFF that is written, or replaced once it is complete: a band of class ids,
            uint8 up to 255 classes, else uint16, with the CRS, the transform and the model's
            colours. Pixels without data (nodata, NaN or transparent) become 255 or 65535, its
            nodata value.
        tile: pixels of a tile's side; the model's crop size by default.
        overlap: pixels that neighbouring tiles share; a quarter of a tile by default.
        options: bands and value range, see `ReadOptions`. As in other programs for maps, an
            orientation of EXIF is not applied, and there is no limit on pixels.

    Returns:
        The path of the output.

    Raises:
        ImageNotFoundError: there is no such file.
        ImageError: it is no GeoTIFF that can be read so, or the output can't be written.
        ValueError: `tile` or `overlap` is no such number.
    """
    path, output = Path(path), Path(output)
    name = describe(path)
    if not path.is_file():
        raise ImageNotFoundError(f"{name} does not exist, expected a GeoTIFF; check the path")
    if output.exists() and output.samefile(path):
        raise ImageError(f"{name} would be replaced by its own answer; give another output")
    rasterio = import_rasterio(f"{name} is a GeoTIFF")
    crop = segmenter.config.settings.windows.crop_size
    side = parse_count("tile", tile if tile is not None else max(crop or (TILE, TILE)))
    shared = side // 4 if overlap is None else overlap
    if isinstance(shared, bool) or not isinstance(shared, int) or not 0 <= shared < side:
        raise ValueError(f"overlap={overlap!r}: expected a whole number from 0 to {side - 1}")
    try:
        with (
            # Files beside this one may say where it lies (a world file).
            environment(rasterio, GDAL_DISABLE_READDIR_ON_OPEN="FALSE"),
            rasterio.open(path.absolute(), driver="GTiff") as source,
        ):
            work = _Work.of(source, name, segmenter, options)
            with written_aside(output) as aside:
                work.write(rasterio, aside, side, shared)
    except rasterio.errors.RasterioError as error:
        raise ImageError(
            f"{name} can't be segmented to {output.name!r}: {error}; expected a complete GeoTIFF, "
            "and a folder that can be written to"
        ) from error
    return output


@dataclass(frozen=True)
class _Work:
    """A file that is open, and what becomes of it."""

    source: Any
    name: str
    segmenter: Segmenter
    bands: list[int]  # that are read: three or one, and alpha if there is one
    has_alpha: bool
    limits: Limits | None  # of values that are black and white; None for 8 bits
    is_named: bool  # whether the file or the caller named them
    absent: int  # the id of pixels without data

    @classmethod
    def of(cls, source: Any, name: str, segmenter: Segmenter, options: ReadOptions) -> "_Work":
        bands = choose_bands(source, name, options)
        alpha = [one for one, kind in enumerate(source.colorinterp, 1) if kind.name == "alpha"]
        height, width = source.block_shapes[0]
        amount = height * width * source.count * np.dtype(source.dtypes[0]).itemsize
        if amount > MAX_BLOCK:
            raise ImageError(
                f"{name} is stored in blocks of {height} x {width} pixels, which take {amount} "
                "bytes; save it in tiles (gdal_translate -co TILED=YES)"
            )
        limits = _limits(source, bands[0], name, options)
        absent = 255 if segmenter.config.settings.head.num_classes <= 255 else 65535
        return cls(
            source,
            name,
            segmenter,
            bands + alpha[:1],
            bool(alpha),
            limits,
            limits != (0, WHITE_16),
            absent,
        )

    def write(self, rasterio: Any, path: Path, tile: int, overlap: int) -> None:
        """Writes the answer, some whole rows of its blocks at a time."""
        height, width = self.source.shape
        profile = {
            **{"driver": "GTiff", "width": width, "height": height, "count": 1},
            **{"dtype": "uint8" if self.absent == 255 else "uint16", "nodata": self.absent},
            **{"crs": self.source.crs, "transform": self.source.transform},
            **{"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "compress": "deflate"},
            "BIGTIFF": "IF_SAFER",
        }
        palette = self.segmenter.config.palette[: self.absent]
        with rasterio.open(path, "w", **profile) as target:
            target.write_colormap(1, {one: (*rgb, 255) for one, rgb in enumerate(palette)})
            top, waiting = 0, np.empty((0, width), profile["dtype"])
            for rows in self.answers(rasterio, tile, overlap):
                waiting = np.concatenate([waiting, rows.astype(waiting.dtype)])
                count = len(waiting)
                if top + count < height:
                    count -= count % BLOCK
                window = rasterio.windows.Window(0, top, width, count)
                if count:
                    target.write(waiting[:count], 1, window=window)
                top, waiting = top + count, waiting[count:]

    def answers(self, rasterio: Any, tile: int, overlap: int) -> Iterator[NDArray[Any]]:
        """The ids `(h, W)` of rows of the file that follow each other."""
        height, width = self.source.shape
        tall, wide = min(tile, height), min(tile, width)
        lefts = _places(width, wide, overlap)
        highest = 0
        for top, first, last in _places(height, tall, overlap):
            values = self.source.read(
                self.bands, window=rasterio.windows.Window(0, top, width, tall)
            )
            hidden = self.hidden(values)
            values = values[:-1] if self.has_alpha else values
            if not self.is_named:
                highest = max(highest, int(values.max()))
            ids = np.full((last - first, width), self.absent, np.int64)
            wanted = [one for one in lefts if not hidden[:, one[0] : one[0] + wide].all()]
            columns = (slice(left, left + wide) for left, _, _ in wanted)
            tiles = (
                bands_to_bgr(values[:, :, one], hidden[:, one], self.limits) for one in columns
            )
            predictions = self.segmenter.segment(tiles)
            for (left, begin, end), one in zip(wanted, predictions, strict=True):
                answer = one.class_map.cpu().numpy()
                ids[:, begin:end] = answer[first - top : last - top, begin - left : end - left]
            ids[hidden[first - top : last - top]] = self.absent
            yield ids
        if 0 < highest < NEARLY_BLACK:
            choose_limits(self.name, np.array([0, highest]), None, None)  # says so

    def hidden(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Which pixels of the bands read have no data."""
        nodata = [self.source.nodatavals[one - 1] for one in self.bands]
        if not self.has_alpha:
            return hidden_pixels(values, nodata)
        transparent: NDArray[np.bool_] = values[-1] == 0
        return transparent | hidden_pixels(values[:-1], nodata[:-1])


def _limits(source: Any, band: int, name: str, options: ReadOptions) -> Limits | None:
    """What is black and white in the whole file: no tile alone can tell."""
    kind = source.dtypes[band - 1]
    if options.value_range is not None:
        return (options.value_range[0], options.value_range[1])
    if kind == "uint8":
        return None
    if kind != "uint16":
        raise ImageError(
            f"{name} holds values of type {kind}; say which are black and white with "
            f"{option('value_range', (0, 1) if kind.startswith('float') else (0, 4095))}"
        )
    bits = int(source.tags(band, ns="IMAGE_STRUCTURE").get("NBITS", 16))
    if bits < 16:
        return (0, 2**bits - 1)
    high = source.tags().get("TIFFTAG_MAXSAMPLEVALUE", "")
    if high.isdecimal() and 256 <= int(high[:6]) < WHITE_16:
        return (0, int(high))
    return (0, WHITE_16)


def _places(size: int, tile: int, overlap: int) -> list[tuple[int, int, int]]:
    """Where the tiles along a side begin, and from where to where the answer of each is kept.

    The last one is moved back to end with the image; two neighbours share what they overlap.
    """
    starts = [*range(0, size - tile, tile - overlap), size - tile]
    cuts = [0, *((before + tile + after) // 2 for before, after in pairwise(starts)), size]
    return list(zip(starts, cuts, cuts[1:], strict=False))
