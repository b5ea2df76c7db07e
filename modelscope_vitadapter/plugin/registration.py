"""The classes that this package registers with ModelScope, and what they stand in for."""

from __future__ import annotations

import importlib
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
    """Name of the registry."""
    group: str
    """Group within the registry: the task or the field."""
    key: str
    """Name within the group: the type that `configuration.json` gives."""
    module: str
    """The module of this package that registers the class."""
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
TRAINER = Entry("TRAINERS", "default", TRAINER_TYPE, f"{HERE}.trainer")
METRIC = Entry("METRICS", "default", METRIC_TYPE, f"{HERE}.metric")

ENTRIES = (MODEL, PREPROCESSOR, PIPELINE)
"""What a pipeline needs: imported, and given up, together."""

FURTHER_ENTRIES = (TRAINER, METRIC)
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
    """Class decorator: registers a class of this package with ModelScope, in a built-in's place.

    It leaves the registry alone where `MODELSCOPE_VITADAPTER=0` switches this package off.
    """
    if not is_enabled():
        return lambda cls: cls
    registry = getattr(importlib.import_module(entry.registry_module), entry.registry)
    decorator: Callable[[C], C] = registry.register_module(
        entry.group, module_name=entry.key, force=True
    )
    return decorator
