"""Frames of a video, from a file or from OpenCV's `VideoCapture`."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
from numpy.typing import NDArray

from modelscope_vitadapter.errors import ImageError, ImageNotFoundError
from modelscope_vitadapter.images.arrays import array_to_bgr
from modelscope_vitadapter.images.naming import describe, is_url
from modelscope_vitadapter.validation import parse_count

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp"}
)
"""Suffixes of video files, in lower case."""

_BEGINNINGS = (
    (0, b"RIFF"),
    (0, b"\x1a\x45\xdf\xa3"),  # Matroska, WebM
    (0, b"FLV"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),  # Windows Media
    (0, b"\0\0\1\xba"),  # MPEG, with sound or without
    (0, b"\0\0\1\xb3"),
    *((4, kind) for kind in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),  # MP4, MOV
)
"""Places and bytes that tell a video. Playlists, which lead FFmpeg to other files and addresses,
are text."""


def is_video(source: object) -> bool:
    """Whether a path or address has the suffix of a video."""
    if isinstance(source, os.PathLike):
        source = os.fspath(source)
    if not isinstance(source, str):
        return False
    try:
        path = urlsplit(source).path if is_url(source) else source
    except ValueError:
        return False
    return PurePath(path).suffix.lower() in VIDEO_SUFFIXES


def is_capture_result(value: object) -> bool:
    """Whether a value is `(ok, frame)`, as `VideoCapture.read()` gives it."""
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], bool)


def frames(source: object, *, step: int = 1) -> Iterator[NDArray[np.uint8]]:
    """Gives the frames of a video, each when it is asked for.

    Args:
        source: path of a video file, or an open `cv2.VideoCapture`, which is read from where it
            stands and left open.
        step: every how many frames one is given; 1 for all.

    Yields:
        `(H, W, 3) uint8 BGR`, as OpenCV turns it upright.

    Raises:
        ImageNotFoundError: the file does not exist.
        ImageError: it is no video that this OpenCV reads, or has no frame.
        ValueError: `step` is no count.
    """
    parse_count("step", step)
    return _frames(source, step)


def _frames(source: object, step: int) -> Iterator[NDArray[np.uint8]]:
    given = isinstance(source, cv2.VideoCapture)
    name = "VideoCapture" if given else describe(source)
    capture: Any = source if given else _opened(source, name)
    try:
        if not capture.isOpened():
            raise ImageError(
                f"{name} is not open, expected a video that this OpenCV reads; check the file or "
                "camera, or convert it to MP4 (H.264)"
            )
        count = 0
        while capture.grab():
            count += 1
            if (count - 1) % step == 0:
                done, frame = capture.retrieve()
                if done:
                    yield _as_bgr(frame, name)
        if not count:
            raise ImageError(f"{name} has no frame (left), expected a video; check that it plays")
    finally:
        if not given:
            capture.release()


def _as_bgr(frame: Any, name: str) -> NDArray[np.uint8]:
    if frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3:
        bgr: NDArray[np.uint8] = frame
        return bgr
    return array_to_bgr(frame, f"a frame of {name}")


def _opened(source: object, name: str) -> Any:
    if not isinstance(source, str | os.PathLike):
        raise ImageError(f"{name} is no video, expected a path or a cv2.VideoCapture")
    path = Path(os.fspath(source)).absolute()  # so that OpenCV takes no name for an address
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError as error:
        raise ImageNotFoundError(f"{name} does not exist; check the path") from error
    except (OSError, ValueError) as error:
        raise ImageError(f"{name} can't be read: {error}") from error
    if not any(head[place:].startswith(begin) for place, begin in _BEGINNINGS):
        raise ImageError(
            f"{name} is no video that is read (it begins with {head[:12]!r}), expected MP4, MOV, "
            "AVI, MKV, WebM, MPEG, WMV or FLV; convert it first"
        )
    return cv2.VideoCapture(str(path))
