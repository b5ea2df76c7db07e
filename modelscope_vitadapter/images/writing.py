"""Images out: drawings of segmentation masks, and image files."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelscope_vitadapter.errors import ImageError

# Facts of the COCO panoptic API (panoptic_coco_categories.json): 80 things, then 53 stuff classes.
_COCO_PANOPTIC_RGB = (
    "dc143c 770b20 00008e 0000e6 6a00e4 003c64 005064 000046 0000c0 faaa1e 64aa1e dcdc00"
    "af74af fa001e a52a2a ff4dff 00e2fc b6b6ff 005200 78a69d 6e4c00 ae39ff c76400 480076"
    "ffb3f0 007d5c d10097 bcd0b6 00dcb0 ff63a4 5c0049 8581ff 4eb4ff 00e400 aefff3 2d59ff"
    "868667 9194ae ffd0ba c5e2ff ab8601 6d3f36 cf8aff 97005f 09503d 546933 4a4169 a6c466"
    "d0c3d2 ff6d41 008f95 b300c2 d1636a 057900 e3ffcd 93bad0 994501 035fa1 a3ff00 7700aa"
    "00b6c7 00a578 b78258 5f2000 827287 6e8185 a64a76 db8eb9 4fd272 b25a3e 41460f 7fa773"
    "3b696a 8e6c2d c4ac00 5f3650 804cff c93901 f6007a bfa2d0 ffff80 93d3cb 966464 a8abac"
    "9270c6 d2aa64 5c8859 da58b8 f18100 d911ff 7c4ab5 464646 ffe4ff 9ad000 c1005c 4c5b71"
    "ffb4c3 6a9ab0 e6968c 3c8fff 804080 5c5237 fed47c 494dae ffa062 ffffff 68546d a9a483"
    "e1c7ff 89364a 879edf 07f6e7 6bffc8 3a2995 b7798e ff4961 6b8e23 be9999 928b8d 4682b4"
    "86c79c d1e28c 60246c 606060 40aa40 98fb98 d0e5e4 cebaab 98a140 747000 00728f 66669c"
    "fa8dff"
)

COCO_PANOPTIC_PALETTE: NDArray[np.uint8] = np.frombuffer(
    bytes.fromhex(_COCO_PANOPTIC_RGB), np.uint8
).reshape(-1, 3)
"""`(133, 3) uint8 RGB`, read-only; the order is that of mmdet 2.28.2."""


def semantic_seg_masks_to_image(masks: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """Paints masks over each other, each in its own colour.

    ModelScope 1.40.2 draws the same, but needs mmdet 2.x for it and has 133 colours.

    Args:
        masks: at least one, each `(H, W)` of any dtype, not zero where the mask is. The k-th has
            the k-th colour of the palette, which starts over; later masks cover earlier ones.

    Returns:
        `(H, W, 3) float64`, 0 to 255, black where no mask is. The channels are those of the
        palette in its order; `cv2.imwrite` takes them for BGR, as it does with ModelScope's.

    Raises:
        ImageError: there is no mask, or the masks differ in size.
    """
    sizes = {np.shape(mask) for mask in masks}
    size = min(sizes, default=())
    if len(sizes) != 1 or len(size) != 2:
        found = f"masks of the shapes {sorted(sizes)}" if sizes else "no mask"
        raise ImageError(
            f"semantic_seg_masks_to_image was given {found}; give it masks (H, W) of one size."
        )
    drawing = np.zeros((*size, 3))
    for number, mask in enumerate(masks):
        covered = np.asarray(mask).astype(bool)
        drawing[covered] = COCO_PANOPTIC_PALETTE[number % len(COCO_PANOPTIC_PALETTE)]
    return drawing


def write_image(path: str | os.PathLike[str], bgr: NDArray[Any]) -> None:
    """Writes an image file; its suffix chooses the format.

    It is encoded in memory and written as bytes, since `cv2.imwrite` can't open paths with letters
    outside the system's code page on Windows.

    Args:
        path: the file to write, such as `result.png`. Its directory must exist.
        bgr: `(H, W, 3)` BGR or `(H, W)` grey, values 0..255; other types than uint8 are rounded
            and clipped, as `cv2.imwrite` does.

    Raises:
        ImageError: the suffix names no format that OpenCV writes, or the array is no image.
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
