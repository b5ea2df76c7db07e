"""How this package's classes take the place of ModelScope's, in memory only."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

from modelscope_vitadapter._boot import is_enabled
from modelscope_vitadapter.logs import get_logger

TASK = "image-segmentation"
MODEL_TYPE = "vitadapter-semantic-segmentation"
PIPELINE_TYPE = "image-semantic-segmentation"
PREPROCESSOR_TYPE = "vitadapter-segmentation-preprocessor"
METRIC_TYPE = "vitadapter-segmentation-metric"

PALETTE_MODULE = "mmdet.core.visualization.palette"

C = TypeVar("C", bound=type)
T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """One entry of a ModelScope registry that belongs to this package."""

    registry: str
    group: str  # within the registry: the task or the field
    key: str  # within the group: the type that `configuration.json` gives
    module: str  # of this package, which registers the class
    builtin: tuple[str, str] | None = None
    """Module and name of the class of ModelScope that is registered under the same key."""

    @property
    def registry_module(self) -> str:
        """The module of ModelScope that holds the registry."""
        return f"modelscope.{self.registry.lower()}.builder"

    @property
    def signature(self) -> tuple[str, str, str]:
        """How ModelScope names the class when it asks for the module to import."""
        return (self.registry, self.group, self.key)


HERE = "modelscope_vitadapter.plugin"
BUILTIN_MODEL = (
    "modelscope.models.cv.image_semantic_segmentation.semantic_seg_model",
    "SemanticSegmentation",
)
BUILTIN_PIPELINE = (
    "modelscope.pipelines.cv.image_semantic_segmentation_pipeline",
    "ImageSemanticSegmentationPipeline",
)

MODEL = Entry("MODELS", TASK, MODEL_TYPE, f"{HERE}.model", BUILTIN_MODEL)
PIPELINE = Entry("PIPELINES", TASK, PIPELINE_TYPE, f"{HERE}.pipeline", BUILTIN_PIPELINE)
PREPROCESSOR = Entry("PREPROCESSORS", "cv", PREPROCESSOR_TYPE, f"{HERE}.preprocessor")
TRAINER = Entry("TRAINERS", "default", "vitadapter-segmentation-trainer", f"{HERE}.trainer")
METRIC = Entry("METRICS", "default", METRIC_TYPE, f"{HERE}.metric")

ENTRIES = (MODEL, PREPROCESSOR, PIPELINE)
"""What a pipeline needs: imported, and given up, together."""

FURTHER_ENTRIES = (TRAINER, METRIC)
"""What is imported only when it is asked for."""

RIVALS = {entry.builtin[0]: entry for entry in ENTRIES if entry.builtin is not None}
"""Modules that register a class under a key of ours, and refuse to where it is taken."""


def default_configuration() -> dict[str, Any]:
    """The content of `configuration.json` of a model that brings none of its own."""
    return {
        "framework": "pytorch",
        "task": TASK,
        "model": {"type": MODEL_TYPE},
        "preprocessor": {"type": PREPROCESSOR_TYPE},
        "pipeline": {"type": PIPELINE_TYPE},
    }


def register(entry: Entry) -> Callable[[C], C]:
    """Class decorator: registers a class of ours in a built-in's place, unless switched off."""
    if not is_enabled():
        return lambda cls: cls
    registry = getattr(importlib.import_module(entry.registry_module), entry.registry)
    decorator: Callable[[C], C] = registry.register_module(
        entry.group, module_name=entry.key, force=True
    )
    return decorator


def change_module(module: ModuleType) -> None:
    """Changes a loaded module of ModelScope, if there is something to change in it."""
    if change := CHANGES.get(module.__name__):
        attempt(f"changing {module.__name__}", lambda: change(module))


def execute_hooked(execute: Callable[[ModuleType], None], module: ModuleType) -> None:
    """Executes a module of ModelScope, with our registration out of its way, and changes it."""
    rival = RIVALS.get(module.__name__)
    purpose = f"stepping aside for {module.__name__}"
    ours = attempt(purpose, lambda: take_out(rival)) if rival else None
    try:
        execute(module)
    finally:
        if rival and ours:
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
    if base is not None:
        base.PREPROCESSOR_MAP.pop((MODEL_TYPE, TASK), None)


def import_our_modules(import_utils: ModuleType) -> None:
    """Has ModelScope import our modules for the types that are ours, before it looks for them.

    Where one that a pipeline needs can't be imported, all is left as it was.
    """
    lazy = import_utils.LazyImportModule
    original = lazy.import_module
    if original.__module__ == __name__:
        return  # changed already
    together = {entry.signature: entry.module for entry in ENTRIES}
    further = {entry.signature: entry.module for entry in FURTHER_ENTRIES}

    def import_together() -> bool:
        return all(map(importlib.import_module, together.values()))

    def import_module(signature: tuple[str, str, str]) -> None:
        if signature in further:
            importlib.import_module(further[signature])
        elif signature not in together:
            original(signature)
        elif not attempt("importing its classes", import_together):
            lazy.import_module = staticmethod(original)
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
    from modelscope_vitadapter.images.writing import semantic_seg_masks_to_image

    return semantic_seg_masks_to_image(masks)


CHANGES: dict[str, Callable[[ModuleType], None]] = {
    "modelscope.utils.import_utils": import_our_modules,
    "modelscope.utils.cv.image_utils": draw_without_mmdet,
    "modelscope.preprocessors.base": name_preprocessor,
}
