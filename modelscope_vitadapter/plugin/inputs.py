"""Which inputs of the pipeline are many: videos, data sets and other iterables."""

from collections.abc import Iterator, Mapping

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from modelscope_vitadapter.images.naming import describe
from modelscope_vitadapter.images.video import frames, is_capture_result, is_video
from modelscope_vitadapter.validation import parse_count

NO_STREAMS = (str, bytes, bytearray, memoryview, Mapping, np.ndarray, torch.Tensor)
"""Types of a single input that can be iterated over all the same."""


def video_frames(source: object, step: object) -> Iterator[NDArray[np.uint8]] | None:
    """The frames of a video; None for another input, for which there is no step."""
    if isinstance(source, cv2.VideoCapture) or is_video(source):
        return frames(source, step=1 if step is None else parse_count("frame_step", step))
    if step is not None:
        raise ValueError(f"frame_step={step!r}: expected a video, not {describe(source)}")
    return None


def is_stream(value: object) -> bool:
    """Whether a value is a collection of inputs but no list: a dataset, a generator, a tuple."""
    if isinstance(value, NO_STREAMS) or hasattr(value, "read") or is_capture_result(value):
        return False
    return hasattr(value, "__iter__") or (
        hasattr(value, "__len__") and hasattr(value, "__getitem__") and not hasattr(value, "size")
    )
