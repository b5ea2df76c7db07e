"""A video, frame by frame: label maps of the frames, and a video of their overlays."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modelscope_vitadapter.errors import ImageError
from modelscope_vitadapter.images.video import frames
from modelscope_vitadapter.prediction.job import Job, Work, failure
from modelscope_vitadapter.prediction.manifest import Row
from modelscope_vitadapter.prediction.writers import Answer, class_shares, save, wanted_for
from modelscope_vitadapter.segmenter import Segmenter
from modelscope_vitadapter.visualization import draw

CODEC, USUAL_RATE = "mp4v", 25.0
"""Of the video that is written, and frames a second where the file does not say."""


def segment_video(segmenter: Segmenter, work: Work, job: Job) -> Row:
    """Segments every `job.frame_step`-th frame of a video.

    Outputs of frames are called `KIND/NAME/000000`, by the frame's number; `overlay` is a video.
    Everything is written to folders aside, which are renamed at the end.

    Raises:
        OSError: an output can't be written.
    """
    item, name = work
    started, folder = time.monotonic(), job.folder / f".{Path(name).name}.video"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        pixels, size, count = _segment(segmenter, item.source, folder, job)
    except ImageError as error:
        shutil.rmtree(folder, ignore_errors=True)
        return failure(work, job, error)
    outputs = {}
    for kind in job.save:
        suffix = ".mp4" if kind == "overlay" else ""
        place = f"{kind}/{name}{suffix}"
        target = job.folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            shutil.rmtree(target)
        (folder / f"{kind}{suffix}").replace(target)
        outputs[kind] = place
    shutil.rmtree(folder, ignore_errors=True)
    shares = class_shares(pixels, segmenter.config.classes, count * size[0] * size[1])
    seconds = round(time.monotonic() - started, 4)
    return Row(
        item.input, name, item.state(), job.key, job.model, outputs, size, shares, seconds, count
    )


def _segment(
    segmenter: Segmenter, source: str, folder: Path, job: Job
) -> tuple[NDArray[np.int64], tuple[int, int], int]:
    """Writes the outputs of all frames; gives pixels by class, the size, and how many there are."""
    folder.mkdir(parents=True)
    images: list[NDArray[np.uint8]] = []

    def inputs() -> Iterator[Any]:
        for frame in frames(source, step=job.frame_step):
            images.append(frame)
            yield segmenter.prepare(frame)

    def name_of(number: int) -> str:
        return f"{number * job.frame_step:06d}"

    wanted = wanted_for(job.save, job.threshold, folder, name_of)
    pixels = np.zeros(len(segmenter.config.classes), np.int64)
    count, size, shape, video = 0, (0, 0), (0, 0), None
    kinds = [one for one in job.save if one != "overlay"]
    try:
        for prediction in segmenter.predict(inputs(), wanted=wanted):
            image = images.pop(0)
            answer = Answer.of(prediction, image, segmenter.config, job.keep, job.threshold)
            number = name_of(count)
            for kind in kinds:
                save(answer, number, folder, [kind], source=f"{number}.png", drawing=job.drawing)
            if "overlay" in job.save:
                drawn = draw(image, answer.class_map, answer.classes, answer.palette, **job.drawing)
                if video is None:
                    shape = video_size(drawn.size)
                    video = _writer(folder / "overlay.mp4", source, shape, job.frame_step)
                canvas = Image.new("RGB", shape, "white")  # a legend may be longer than the first
                canvas.paste(drawn)
                video.write(np.ascontiguousarray(np.asarray(canvas)[..., ::-1]))
            pixels += answer.counts
            count, size = count + 1, answer.size
    finally:
        if video is not None:
            video.release()
    return pixels, size, count


def video_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height as codecs want them: even."""
    return size[0] // 2 * 2 or 2, size[1] // 2 * 2 or 2


def _writer(path: Path, source: str, size: tuple[int, int], step: int) -> Any:
    capture = cv2.VideoCapture(str(Path(source).absolute()))
    rate = capture.get(cv2.CAP_PROP_FPS) or USUAL_RATE
    capture.release()
    code = cv2.VideoWriter.fourcc(*CODEC)
    writer = cv2.VideoWriter(str(path), code, max(rate / step, 1.0), size)
    if not writer.isOpened():
        raise ImageError(f"this OpenCV can't write {CODEC} videos; leave overlay out of --save")
    return writer
