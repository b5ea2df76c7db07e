"""Segments a picture with a model in a local directory and saves the coloured result.

    python examples/local_directory.py MODEL_DIRECTORY PICTURE RESULT

The directory is laid out as on the hub: `configuration.json`, `mmcv_config.py` and a checkpoint
(`pytorch_model.pt`, `pytorch_model.bin` or `model.safetensors`). Nothing in it is executed, so
`trust_remote_code` is not needed.
"""

import sys

import numpy as np
from modelscope.outputs import OutputKeys
from modelscope.pipelines import pipeline
from modelscope.utils.constant import Tasks

from modelscope_vitadapter.images.writing import write_image


def colour_classes(class_map: np.ndarray, palette: list[list[int]]) -> np.ndarray:
    """Paints each class in its own colour of the model's palette.

    Args:
        class_map: class ids `(H, W)`.
        palette: `[R, G, B]` of each class, 0 to 255.

    Returns:
        `(H, W, 3) uint8 BGR`.
    """
    return np.array(palette, dtype=np.uint8)[class_map][..., ::-1]


def main(model_directory: str, picture: str, result_path: str) -> None:
    """Segments `picture`, lists the classes in it and writes `result_path`."""
    # device='gpu', the default, takes the GPU where there is one, else the CPU.
    segmentor = pipeline(Tasks.image_segmentation, model=model_directory)

    # One array of class ids takes less memory than a mask per class (`output='masks'`).
    result = segmentor(picture, output="class_map")
    class_map = result["class_map"]
    for class_id, label in zip(result["class_ids"], result[OutputKeys.LABELS], strict=True):
        share = (class_map == class_id).mean()
        print(f"{label}: {share:.1%} of the picture")

    # `write_image` also opens paths that `cv2.imwrite` can't, e.g. Chinese ones on Windows.
    write_image(result_path, colour_classes(class_map, segmentor.model.PALETTE))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
