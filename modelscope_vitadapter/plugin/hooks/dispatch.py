"""Which change belongs to which module of ModelScope."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from modelscope_vitadapter.plugin.hooks import drawing, index, preprocessor_map, registries
from modelscope_vitadapter.plugin.hooks.entries import MODEL, PIPELINE
from modelscope_vitadapter.plugin.hooks.guard import attempt

CHANGES: dict[str, Callable[[ModuleType], None]] = {
    "modelscope.utils.import_utils": index.change,
    "modelscope.utils.cv.image_utils": drawing.change,
    "modelscope.preprocessors.base": preprocessor_map.change,
}

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
    ours = attempt(purpose, lambda: registries.take_out(rival), None)
    try:
        execute(module)
    finally:
        if ours is not None:
            kept = ours
            attempt(purpose, lambda: registries.put_in(rival, kept), None)
