"""Frames of videos; real files, written by OpenCV."""

import cv2
import numpy as np
import pytest

from modelscope_vitadapter.errors import ImageError, ImageNotFoundError, ImageTypeError
from modelscope_vitadapter.images.reading import read_image
from modelscope_vitadapter.images.video import frames, is_video

GREYS = (0, 60, 120, 180, 240)


@pytest.fixture
def film(tmp_path):
    """Five frames, each of one grey."""
    path = tmp_path / "照片 film.avi"
    plain = tmp_path / "film.avi"  # OpenCV's writer takes no such letters on Windows
    writer = cv2.VideoWriter(str(plain), cv2.VideoWriter_fourcc(*"MJPG"), 5, (48, 32))
    for grey in GREYS:
        writer.write(np.full((32, 48, 3), grey, np.uint8))
    writer.release()
    plain.rename(path)
    return path


def brightness(found):
    return [round(float(one.mean()) / 60) for one in found]


def test_frames_of_a_file(film):
    found = list(frames(film))
    assert {(one.shape, one.dtype.name) for one in found} == {((32, 48, 3), "uint8")}
    assert brightness(found) == [0, 1, 2, 3, 4]
    assert brightness(frames(str(film), step=2)) == [0, 2, 4]
    assert brightness(frames(film, step=9)) == [0]
    with pytest.raises(ValueError, match="step=0"):
        frames(film, step=0)


def test_a_capture_is_read_from_where_it_stands_and_stays_open(film):
    capture = cv2.VideoCapture(str(film))
    capture.read()
    first = next(frames(capture))
    assert brightness([first, *frames(capture, step=2)]) == [1, 2, 4]
    assert capture.isOpened()
    with pytest.raises(ImageError, match=r"VideoCapture has no frame \(left\)"):
        list(frames(capture))
    capture.release()
    with pytest.raises(ImageError, match="VideoCapture is not open"):
        list(frames(capture))


def test_a_file_is_closed_where_not_all_of_it_is_taken(film):
    stream = frames(film)
    next(stream)
    stream.close()
    film.unlink()  # on Windows not before it is closed


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no video that is read"),
        (b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n", "begins with b'#EXTM3U"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "is no video that is read"),
        (b"\0\0\0\x18ftypisom" + bytes(64), "is not open"),
    ],
)
def test_what_is_no_video(tmp_path, content, words):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=words) as caught:
        list(frames(path))
    assert str(caught.value).startswith("image file ")
    with pytest.raises(ImageNotFoundError, match="does not exist"):
        list(frames(tmp_path / "none.mp4"))
    with pytest.raises(ImageError, match=r"expected a path or a cv2\.VideoCapture"):
        list(frames(7))


def test_a_video_is_known_by_its_suffix():
    assert all(map(is_video, ("a.MP4", "b/c.mov", "https://example.org/a.webm?key=1")))
    assert not any(map(is_video, ("a.gif", "mp4", "http://[a.mp4", b"a.mp4", None)))


def test_reading_one_image_of_a_video_says_what_to_do(film):
    for source in (film, str(film), "https://example.org/a.mp4"):
        with pytest.raises(ImageError, match="is a video, expected an image; pass it to the pipel"):
            read_image(source)
    capture = cv2.VideoCapture(str(film))
    with pytest.raises(ImageTypeError, match="pass it to the pipeline by itself"):
        read_image(capture)
    with pytest.raises(ImageTypeError, match=r"gives \(ok, frame\): pass the frame alone"):
        read_image(capture.read())
