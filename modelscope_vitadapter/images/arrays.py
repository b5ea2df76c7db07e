"""Arrays as images: shape, type and value range."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.errors import ImageError, ImageTypeError
from modelscope_vitadapter.hints import option
from modelscope_vitadapter.images.depth import range_hint, to_8_bits
from modelscope_vitadapter.logs import get_logger

_EXPECTED = "expected (H, W, 3) BGR, (H, W, 4) BGRA, (H, W) or (H, W, 1) grey, values 0 to 255"


def array_to_bgr(
    array: NDArray[Any], name: str, *, value_range: Sequence[float] | None = None
) -> NDArray[Any]:
    """Turns an array into a BGR image, as the built-in pipeline of ModelScope does.

    Args:
        array: `(H, W, 3)` BGR, `(H, W, 4)` BGRA, whose alpha is dropped, `(H, W)` or `(H, W, 1)`
            grey; integers or floats of any width in 0..255, or bools. It is never modified.
        name: how error messages call it.
        value_range: values that are black and white, in place of 0 and 255; those beyond are
            clipped and NaN is black. Of bools there are no others.

    Returns:
        `(H, W, 3)` BGR, C-contiguous and writable, a copy: float32 in 0..255 for a float array
        without `value_range`, else uint8.

    Raises:
        ImageTypeError: the elements are no real numbers.
        ImageError: the shape or a value is none of an image.
    """
    array = np.asarray(array)
    if array.dtype.kind not in "buif":
        raise ImageTypeError(
            f"{name} holds elements of type {array.dtype}; {_EXPECTED}, uint8 or float"
        )
    _check_shape(array, name)
    if array.ndim == 3:
        array = array[:, :, 0] if array.shape[2] == 1 else array[:, :, :3]
    if value_range is None or array.dtype.kind == "b":
        pixels = _to_pixels(array, name)
    else:
        pixels = to_8_bits(array, value_range)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    return np.array(pixels, order="C", copy=True)


def _check_shape(array: NDArray[Any], name: str) -> None:
    shape, hint = array.shape, ""
    if array.size == 0:
        raise ImageError(f"{name} is empty; {_EXPECTED}")
    if array.ndim == 2 or (array.ndim == 3 and shape[2] in (1, 3, 4)):
        return
    if array.ndim == 3 and shape[0] in (1, 3, 4) and shape[2] > 5:
        hint = "; the channels seem to come first: pass array.transpose(1, 2, 0)"
    elif array.ndim == 4:
        hint = "; pass the images of a batch as a list"
    elif array.ndim == 1 and array.dtype == np.uint8:
        hint = "; pass an encoded image as bytes: array.tobytes()"
    raise ImageError(f"{name} is no image: {_EXPECTED}{hint}")


def _to_pixels(array: NDArray[Any], name: str) -> NDArray[Any]:
    """The values as uint8 or float32, once they are known to lie in 0..255."""
    if array.dtype.kind == "b":
        white: NDArray[np.uint8] = array.view(np.uint8) * np.uint8(255)
        return white
    if array.dtype == np.uint8:
        return array
    low, high = array.min(), array.max()
    is_float = array.dtype.kind == "f"
    if is_float and not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError(
            f"{name} holds NaN or infinite values; {_EXPECTED}: replace them first, or pass "
            f"{option('value_range', (0.0, 255.0))} with its own range, and NaN is black"
        )
    if low < 0 or high > 255:
        raise ImageError(
            f"{name} holds values from {low} to {high}; {_EXPECTED}: scale it first, or pass "
            f"{range_hint(low.item(), high.item(), exact=is_float)}"
        )
    if is_float and 0 < high <= 1:
        get_logger().warning(
            "%s holds values from %s to %s, taken as 0 to 255; pass %s if 1 is white",
            *(name, low, high, option("value_range", (0, 1))),
        )
    return array.astype(np.float32 if is_float else np.uint8)
