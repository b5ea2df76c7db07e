"""The classes that this package registers with ModelScope, and what they stand in for."""

from __future__ import annotations

from dataclasses import dataclass

TASK = "image-segmentation"
MODEL_TYPE = "vitadapter-semantic-segmentation"
PIPELINE_TYPE = "image-semantic-segmentation"
TRAINER_TYPE = "vitadapter-segmentation-trainer"
METRIC_TYPE = "vitadapter-segmentation-metric"
PREPROCESSOR_FIELD = "cv"
PREPROCESSOR_TYPE = "vitadapter-segmentation-preprocessor"


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
    builtin_class: str | None = None
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
    group=PREPROCESSOR_FIELD,
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
