"""Image files from arrays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.errors import ImageError


def write_image(path: str | os.PathLike[str], bgr: NDArray[Any]) -> None:
    """Writes an image file; its suffix chooses the format.

    The image is encoded in memory and written as bytes, since `cv2.imwrite` can't open paths
    with letters outside the system's code page on Windows.

    Args:
        path: the file to write, such as `result.png`. Its directory must exist.
        bgr: `(H, W, 3)` BGR or `(H, W)` grey, values 0..255; other types than uint8 are rounded
            and clipped, as `cv2.imwrite` does.

    Raises:
        ImageError: the suffix names no format that OpenCV writes, or the array is no image.
        OSError: the file can't be written.
    """
    path = Path(path)
    pixels = np.asarray(bgr)
    if pixels.dtype != np.uint8:
        pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    try:
        done, encoded = cv2.imencode(path.suffix, np.ascontiguousarray(pixels))
        if not done:
            raise cv2.error("the encoder failed")
    except cv2.error as error:
        raise ImageError(
            f"array of shape {pixels.shape} can't be written as {path.suffix!r} to "
            f"{path.name!r}; expected (H, W, 3) BGR or (H, W) grey and a suffix such as "
            "'.png' or '.jpg'"
        ) from error
    path.write_bytes(encoded.tobytes())
