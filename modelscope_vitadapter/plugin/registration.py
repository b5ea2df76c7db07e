"""The classes that this package registers with ModelScope, and what they stand in for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from modelscope_vitadapter._boot import is_enabled

TASK = "image-segmentation"
MODEL_TYPE = "vitadapter-semantic-segmentation"
PIPELINE_TYPE = "image-semantic-segmentation"
PREPROCESSOR_TYPE = "vitadapter-segmentation-preprocessor"
TRAINER_TYPE = "vitadapter-segmentation-trainer"
METRIC_TYPE = "vitadapter-segmentation-metric"

C = TypeVar("C", bound=type)


@dataclass(frozen=True)
class Entry:
    """One entry of a ModelScope registry that belongs to this package."""

    registry: str
    """Name of the registry, which is also its attribute in `registry_module`."""
    registry_module: str
    """The module of ModelScope that holds the registry."""
    group: str
    """Group within the registry: the task or the field."""
    key: str
    """Name within the group: the type that `configuration.json` gives."""
    module: str
    """The module of this package that registers the class."""
    builtin_module: str | None = None
    """The module of ModelScope that registers a class under the same key, if there is one."""
    builtin_class: str = ""
    """The name of that class."""

    @property
    def signature(self) -> tuple[str, str, str]:
        """The key of this entry in ModelScope's index."""
        return (self.registry, self.group, self.key)


MODEL = Entry(
    registry="MODELS",
    registry_module="modelscope.models.builder",
    group=TASK,
    key=MODEL_TYPE,
    module="modelscope_vitadapter.plugin.model",
    builtin_module="modelscope.models.cv.image_semantic_segmentation.semantic_seg_model",
    builtin_class="SemanticSegmentation",
)
PIPELINE = Entry(
    registry="PIPELINES",
    registry_module="modelscope.pipelines.builder",
    group=TASK,
    key=PIPELINE_TYPE,
    module="modelscope_vitadapter.plugin.pipeline",
    builtin_module="modelscope.pipelines.cv.image_semantic_segmentation_pipeline",
    builtin_class="ImageSemanticSegmentationPipeline",
)
PREPROCESSOR = Entry(
    registry="PREPROCESSORS",
    registry_module="modelscope.preprocessors.builder",
    group="cv",
    key=PREPROCESSOR_TYPE,
    module="modelscope_vitadapter.plugin.preprocessor",
)
TRAINER = Entry(
    registry="TRAINERS",
    registry_module="modelscope.trainers.builder",
    group="default",
    key=TRAINER_TYPE,
    module="modelscope_vitadapter.plugin.trainer",
)
METRIC = Entry(
    registry="METRICS",
    registry_module="modelscope.metrics.builder",
    group="default",
    key=METRIC_TYPE,
    module="modelscope_vitadapter.plugin.metric",
)

ENTRIES: tuple[Entry, ...] = (MODEL, PREPROCESSOR, PIPELINE)
"""What a pipeline needs: imported, and given up, together."""

FURTHER_ENTRIES: tuple[Entry, ...] = (TRAINER, METRIC)
"""What is imported only when it is asked for."""


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
    """Class decorator: register a class of this package with ModelScope, in a built-in's place.

    Args:
        entry: Registry, group and key.

    Returns:
        ModelScope's own decorator; one that leaves the registry alone where
        `MODELSCOPE_VITADAPTER=0` switches this package off.
    """
    if not is_enabled():
        return lambda cls: cls
    registry = getattr(importlib.import_module(entry.registry_module), entry.registry)
    decorator: Callable[[C], C] = registry.register_module(
        entry.group, module_name=entry.key, force=True
    )
    return decorator


def take_out(entry: Entry) -> type | None:
    """Remove our class from its registry.

    Returns:
        The class that was registered, or None where it was not ours or there was none.
    """
    group = _group(entry)
    registered = group.get(entry.key)
    if registered is None or not registered.__module__.startswith("modelscope_vitadapter."):
        return None
    ours: type = group.pop(entry.key)
    return ours


def put_in(entry: Entry, cls: type) -> None:
    """Register a class under an entry's key, whatever is registered there."""
    _group(entry)[entry.key] = cls


def give_up() -> None:
    """Leave every registry as it would be without this package."""
    for entry in ENTRIES:
        if take_out(entry) is None or entry.builtin_module is None:
            continue
        builtin = sys.modules.get(entry.builtin_module)
        if builtin is not None:
            put_in(entry, getattr(builtin, entry.builtin_class))


def builtin_pipeline_class() -> type:
    """ModelScope's own pipeline class for the pipeline type that this package takes over.

    Returns:
        `ImageSemanticSegmentationPipeline`. Our registration stays as it is.
    """
    module = importlib.import_module(str(PIPELINE.builtin_module))
    builtin: type = getattr(module, PIPELINE.builtin_class)
    return builtin


def _group(entry: Entry) -> dict[str, Any]:
    holder = sys.modules.get(entry.registry_module)
    if holder is None:
        return {}
    group: dict[str, Any] = getattr(holder, entry.registry).modules.setdefault(entry.group, {})
    return group
