"""Segments a picture with the tiny model and writes the coloured result beside it.

    python examples/demo.py [PICTURE]

Without a picture, `scene.png` is segmented. The tiny model knows drawn shapes only, so on a photo
its answer means nothing: see `tiny_model/README.md`.
"""

import sys
import time
from pathlib import Path

from modelscope.outputs import OutputKeys
from modelscope.pipelines import pipeline
from modelscope.utils.constant import Tasks
from modelscope.utils.cv.image_utils import semantic_seg_masks_to_image

from modelscope_vitadapter.images.writing import write_image

HERE = Path(__file__).parent


def segment(picture: Path) -> Path:
    """Segments `picture` and returns where the coloured result was written."""
    segmentor = pipeline(Tasks.image_segmentation, model=str(HERE / "tiny_model"), device="cpu")
    started = time.perf_counter()
    result = segmentor(str(picture))
    seconds = time.perf_counter() - started

    drawing = semantic_seg_masks_to_image(result[OutputKeys.MASKS])
    result_path = picture.with_name(f"{picture.stem}_segmented.png")
    write_image(result_path, drawing)
    print(f"found:   {', '.join(result[OutputKeys.LABELS])}")
    print(f"seconds: {seconds:.2f}")
    print(f"result:  {result_path}")
    return result_path


if __name__ == "__main__":
    segment(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "scene.png")
