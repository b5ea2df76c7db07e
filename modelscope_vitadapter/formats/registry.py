"""The formats by name. A format's module is imported when it is used: the command line reads this.

`write(path, one)` and `read(path) -> one` are of formats with a file an image; formats that have
all images in a file or folder have `write(path, images)` and `read(path) -> iterator of images`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Format:
    """A format, as the command line knows it."""

    module: str
    suffix: str  # of its file; empty of a folder
    holds_many: bool  # all images in one file or folder, not a file an image
    line: str  # of help

    @property
    def write(self) -> Callable[..., None]:
        """Writes a `Segmentation`, or several, to a path."""
        return self._of("write")

    @property
    def read(self) -> Callable[..., Any]:
        """Reads what `write` wrote."""
        return self._of("read")

    def _of(self, name: str) -> Callable[..., Any]:
        module = import_module(f"modelscope_vitadapter.formats.{self.module}")
        found: Callable[..., Any] = getattr(module, name)
        return found


FORMATS = {
    one.module.replace("_", "-"): one
    for one in (
        Format("id_png", ".png", False, "PNG of class ids with a palette (mmsegmentation)"),
        Format("coco_panoptic", ".json", True, "COCO panoptic: JSON, and a folder of PNGs"),
        Format("coco_rle", ".json", True, "COCO objects with run lengths (pycocotools)"),
        Format("labelme", ".json", False, "labelme: polygons"),
        Format("cvat_xml", ".xml", True, "CVAT for images 1.1: masks"),
        Format("label_studio", ".json", True, "Label Studio tasks with brush masks"),
        Format("fiftyone", "", True, "FiftyOne: PNGs of class ids plus one, names in JSON"),
        Format("yolo", ".txt", False, "YOLO: polygons in shares of width and height"),
        Format("npz", ".npz", False, "numpy arrays: class_map, classes, palette"),
    )
}
"""By the name that `--save` takes."""
