"""What this package changes in modules of ModelScope, in memory only."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.plugin.registration import (
    ENTRIES,
    FURTHER_ENTRIES,
    MODEL_TYPE,
    PREPROCESSOR_TYPE,
    TASK,
    Entry,
)

Signature = tuple[str, str, str]
T = TypeVar("T")

PALETTE_MODULE = "mmdet.core.visualization.palette"

RIVALS = {entry.builtin[0]: entry for entry in ENTRIES if entry.builtin is not None}
"""Modules that register a class under a key of ours, and refuse to where it is taken."""


def change_module(module: ModuleType) -> None:
    """Changes a loaded module of ModelScope, if there is something to change in it."""
    change = CHANGES.get(module.__name__)
    if change is not None:
        attempt(f"changing {module.__name__}", lambda: change(module))


def execute_hooked(execute: Callable[[ModuleType], None], module: ModuleType) -> None:
    """Executes a module of ModelScope, with our registration out of its way, then changes it.

    Args:
        execute: runs the module's code; what it raises is passed on.
        module: the fresh module object.
    """
    rival = RIVALS.get(module.__name__)
    purpose = f"stepping aside for {module.__name__}"
    ours = None if rival is None else attempt(purpose, lambda: take_out(rival))
    try:
        execute(module)
    finally:
        if rival is not None and ours is not None:
            attempt(purpose, lambda: registered(rival).update({rival.key: ours}))
    change_module(module)


def attempt(purpose: str, action: Callable[[], T]) -> T | None:
    """What `action` gives; where it fails, None and a warning: no fault here reaches ModelScope."""
    try:
        return action()
    except Exception as error:
        logger = get_logger()
        logger.warning(
            "modelscope_vitadapter failed at %s (%s: %s); ModelScope goes on without it.",
            purpose,
            type(error).__name__,
            error,
        )
        logger.debug("The failure in full:", exc_info=error)
        return None


def registered(entry: Entry) -> dict[str, Any]:
    """What an entry's registry holds in its group, by key; empty before ModelScope made it."""
    holder = sys.modules.get(entry.registry_module)
    if holder is None:
        return {}
    group: dict[str, Any] = getattr(holder, entry.registry).modules.setdefault(entry.group, {})
    return group


def take_out(entry: Entry) -> type | None:
    """Removes our class from its registry; None where the class there is not ours."""
    found: type | None = registered(entry).get(entry.key)
    if found is None or not found.__module__.startswith("modelscope_vitadapter."):
        return None
    return registered(entry).pop(entry.key)  # type: ignore[no-any-return]


def give_up() -> None:
    """Leaves every registry as it would be without this package."""
    for entry in ENTRIES:
        if take_out(entry) is not None and entry.builtin is not None:
            module, name = entry.builtin
            if module in sys.modules:
                registered(entry)[entry.key] = getattr(sys.modules[module], name)
    base = sys.modules.get("modelscope.preprocessors.base")
    if base is not None and base.PREPROCESSOR_MAP.get((MODEL_TYPE, TASK)) == PREPROCESSOR_TYPE:
        del base.PREPROCESSOR_MAP[(MODEL_TYPE, TASK)]


def import_our_modules(import_utils: ModuleType) -> None:
    """Has `LazyImportModule.import_module` import our modules for the types that are ours.

    ModelScope calls it before it looks into a registry. Where one of the modules that a pipeline
    needs can't be imported, all of them are given up.
    """
    lazy = import_utils.LazyImportModule
    original = lazy.import_module
    if original.__module__ == __name__:
        return  # changed already
    together = {entry.signature for entry in ENTRIES}
    further = {entry.signature: entry.module for entry in FURTHER_ENTRIES}
    given_up = False

    def import_module(signature: Signature) -> None:
        nonlocal given_up
        if signature in further:
            importlib.import_module(further[signature])
            return
        if signature in together and not given_up:
            modules = [entry.module for entry in ENTRIES]
            if attempt("importing its classes", lambda: [*map(importlib.import_module, modules)]):
                return
            given_up = True
            attempt("giving up its registrations", give_up)
        original(signature)

    lazy.import_module = staticmethod(import_module)


def name_preprocessor(base: ModuleType) -> None:
    """Names our preprocessor for model directories whose `configuration.json` names none."""
    base.PREPROCESSOR_MAP.setdefault((MODEL_TYPE, TASK), PREPROCESSOR_TYPE)


def draw_without_mmdet(image_utils: ModuleType) -> None:
    """Replaces the code of `semantic_seg_masks_to_image`, which takes mmdet's colours, by ours.

    The function object stays, so names that a script bound before are reached too.
    """
    function = image_utils.semantic_seg_masks_to_image
    if PALETTE_MODULE in function.__code__.co_names:
        function.__code__ = _semantic_seg_masks_to_image.__code__


def _semantic_seg_masks_to_image(masks: Any) -> Any:
    # Runs with ModelScope's globals, so it may use no name of this module.
    from modelscope_vitadapter.images.drawing import semantic_seg_masks_to_image

    return semantic_seg_masks_to_image(masks)


CHANGES: dict[str, Callable[[ModuleType], None]] = {
    "modelscope.utils.import_utils": import_our_modules,
    "modelscope.utils.cv.image_utils": draw_without_mmdet,
    "modelscope.preprocessors.base": name_preprocessor,
}
