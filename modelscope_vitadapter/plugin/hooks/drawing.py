"""Lets ModelScope's `semantic_seg_masks_to_image` draw where mmdet is not installed."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

PALETTE_MODULE = "mmdet.core.visualization.palette"


def change(image_utils: ModuleType) -> None:
    """Replace the code of `semantic_seg_masks_to_image` by a call to ours.

    The function object stays, so names that a script bound before are reached too. It is left
    alone where the palette that it imports can be imported, or where it imports none.

    Args:
        image_utils: `modelscope.utils.cv.image_utils`.
    """
    function = image_utils.semantic_seg_masks_to_image
    if PALETTE_MODULE in function.__code__.co_names and not has_palette():
        function.__code__ = _semantic_seg_masks_to_image.__code__


def has_palette() -> bool:
    """Whether mmdet 2.x is there to be imported, found out without importing it.

    Returns:
        True where an installed mmdet has the module that ModelScope takes its colours from;
        mmdet 3 has it no more.
    """
    if PALETTE_MODULE in sys.modules:
        return True
    try:
        spec = find_spec("mmdet")
    except ValueError:  # a stand-in of somebody else's in sys.modules, without a spec
        return False
    locations = (spec.submodule_search_locations if spec else None) or ()
    below = PALETTE_MODULE.partition(".")[2].replace(".", "/") + ".py"
    return any((Path(location) / below).is_file() for location in locations)


def _semantic_seg_masks_to_image(masks: Any) -> Any:
    # Runs with ModelScope's globals, so it may use no name of this module.
    from modelscope_vitadapter.images.drawing import semantic_seg_masks_to_image

    return semantic_seg_masks_to_image(masks)
