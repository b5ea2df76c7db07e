"""What this package changes in modules of ModelScope, in memory only."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from modelscope_vitadapter.plugin import index, registration
from modelscope_vitadapter.plugin.index import attempt
from modelscope_vitadapter.plugin.registration import MODEL, PIPELINE

PALETTE_MODULE = "mmdet.core.visualization.palette"

# These modules register a class under a key of ours and refuse to where it is taken.
RIVALS = {entry.builtin_module: entry for entry in (MODEL, PIPELINE)}


def change_module(module: ModuleType) -> None:
    """Change a loaded module of ModelScope, if there is something to change in it.

    Args:
        module: One of the modules that `modelscope_vitadapter._boot.HOOKED_MODULES` names.
    """
    change = CHANGES.get(module.__name__)
    if change is not None:
        attempt(f"changing {module.__name__}", lambda: change(module), None)


def execute_hooked(execute: Callable[[ModuleType], None], module: ModuleType) -> None:
    """Execute a module of ModelScope, with our registration out of its way, then change it.

    Args:
        execute: Runs the module's code; what it raises is passed on.
        module: The fresh module object.
    """
    rival = RIVALS.get(module.__name__)
    if rival is None:
        execute(module)
        change_module(module)
        return
    purpose = f"stepping aside for {module.__name__}"
    ours = attempt(purpose, lambda: registration.take_out(rival), None)
    try:
        execute(module)
    finally:
        if ours is not None:
            kept = ours
            attempt(purpose, lambda: registration.put_in(rival, kept), None)


def draw_without_mmdet(image_utils: ModuleType) -> None:
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
    from modelscope_vitadapter.images.writing import semantic_seg_masks_to_image

    return semantic_seg_masks_to_image(masks)


CHANGES: dict[str, Callable[[ModuleType], None]] = {
    "modelscope.utils.import_utils": index.change,
    "modelscope.utils.cv.image_utils": draw_without_mmdet,
    "modelscope.preprocessors.base": index.name_preprocessor,
}
