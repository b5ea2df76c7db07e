"""The pipeline that ModelScope builds for `image-semantic-segmentation`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from modelscope.pipelines.base import Pipeline
from modelscope.utils.device import device_placement

from modelscope_vitadapter._hooks.entries import PIPELINE
from modelscope_vitadapter._hooks.registries import builtin_pipeline_class, register
from modelscope_vitadapter.devices import builtin_device_name, torch_device
from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.model_type import is_vitadapter
from modelscope_vitadapter.options import parse_count, parse_flag
from modelscope_vitadapter.segmentation_model import VitAdapterSemanticSegmentation
from modelscope_vitadapter.segmentation_preprocessor import VitAdapterSegmentationPreprocessor

SERVER_OPTIONS = ("min_size", "max_size", "score_thr")
"""What ModelScope's server offers for this task; none of it has a meaning for semantic masks."""

NO_STREAMS = (str, bytes, bytearray, memoryview, Mapping, np.ndarray, torch.Tensor)
"""Types of a single input that can be iterated over all the same."""

KNOWN_KEYWORDS = {
    *("torch_dtype", "adapter_form", "window_batch_size", "compile", "compile_options"),
    *("trust_remote_code", "device_map", "auto_collate", "config_file", "model_revision"),
}
"""What the pipeline, its model and ModelScope read; other keywords are passed on to no effect."""

logger = get_logger()


@register(PIPELINE)
class VitAdapterSegmentationPipeline(Pipeline):  # type: ignore[misc]  # ModelScope is untyped
    """Segments images: `pipeline(Tasks.image_segmentation, model=...)(image)`.

    Args:
        model: a model directory, a model object, or a list with one of them.
        preprocessor: another preprocessor than the model's own.
        device: `cpu`, `gpu`, `cuda:N`, or any device that PyTorch can use.
        batch_size: inputs of a list whose windows may go through the network together; by default
            all of them. They are read one after the other as room for their windows is made.
        **kwargs: `torch_dtype`, `adapter_form`, `window_batch_size` (see
            `VitAdapterSemanticSegmentation`), `compile`, `compile_options`, and what ModelScope
            passes on.

    Calling it with one input gives one result, with a list a list of results, with a data set or
    another iterable an iterator of results. Inputs: see `images.inputs.read_image`. Call options:
    `mask_dtype`, `output`, `confidence` (see `VitAdapterSemanticSegmentation.postprocess`) and
    `batch_size`.
    """

    @classmethod
    def _instantiate(cls, **kwargs: Any) -> Pipeline:
        """Hands models of other types that share the pipeline type back to the built-in class."""
        model = kwargs.get("model")
        if isinstance(model, list) and len(model) > 1:
            if any(is_vitadapter(one, VitAdapterSemanticSegmentation) for one in model):
                raise ValueError(
                    f"model=[...] has {len(model)} models: expected one; build a pipeline for each"
                )
        elif is_vitadapter(model, VitAdapterSemanticSegmentation):
            return cls(**kwargs)
        return builtin_pipeline_class()(**kwargs)

    def __init__(
        self,
        model: Any,
        *,
        preprocessor: Any = None,
        device: str | torch.device = "gpu",
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(model, list) and len(model) == 1:
            model = model[0]
        self.batch_size = None if batch_size is None else parse_count("batch_size", batch_size)
        unused = sorted(set(kwargs) - KNOWN_KEYWORDS)
        if unused:
            logger.warning("pipeline(): the keyword(s) %s have no effect", ", ".join(unused))
        unknown_to_modelscope = torch_device(device)
        super().__init__(
            model=model,
            preprocessor=preprocessor or VitAdapterSegmentationPreprocessor(),
            device=builtin_device_name(device),
            **kwargs,
        )
        if unknown_to_modelscope is not None:
            self.device = unknown_to_modelscope
        if getattr(self.preprocessor, "model_config", self) is None:
            self.preprocessor.model_config = self.model.cfg

    def __call__(self, input: Any, *args: Any, **kwargs: Any) -> Any:
        """Segments one input, a list of them, or the elements of an iterable as they are asked for.

        Args:
            input: see the class.
            *args: unused; ModelScope's signature.
            **kwargs: call options, see the class.
        """
        if kwargs.get("batch_size") is not None:
            parse_count("batch_size", kwargs["batch_size"])
        if isinstance(input, list):
            kwargs.setdefault("batch_size", self.batch_size)
        elif _is_stream(input):
            kwargs.pop("batch_size", None)
            self._sanitize_parameters(
                **kwargs
            )  # wrong options are refused now, not while iterating
            return self._stream(input, kwargs)
        return super().__call__(input, *args, **kwargs)

    def _stream(self, inputs: Iterable[Any], options: Mapping[str, Any]) -> Iterator[Any]:
        for one in inputs:
            yield super().__call__(one, **options)

    def _sanitize_parameters(
        self, **options: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Sorts call options into those of preprocessing, forward and postprocessing."""
        for name in SERVER_OPTIONS:
            options.pop(name, None)
        forward = {"confidence": parse_flag("confidence", options.pop("confidence", False))}
        unknown = set(options) - {"mask_dtype", "output"}
        if unknown:
            raise TypeError(
                f"unknown call option {sorted(unknown)[0]!r}: expected mask_dtype, output, "
                "confidence or batch_size"
            )
        return {}, forward, options

    def _check_input(self, input: Any) -> None:
        """Leaves the check to `read_image`, which takes more forms than ModelScope's own check."""

    def _process_single(self, input: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self._process_batch([input], 1, **kwargs)[0]

    def _process_batch(
        self,
        input: Sequence[Any],
        batch_size: int | None,
        **kwargs: Any,
    ) -> list[dict[str, Any]]:
        """Works on `batch_size` inputs at a time; each is read when its turn comes."""
        size = len(input) if batch_size is None else parse_count("batch_size", batch_size)
        results: list[dict[str, Any]] = []
        for start in range(0, len(input), max(size, 1)):
            pictures = (
                self.preprocess(one, **kwargs.get("preprocess_params", {}))
                for one in input[start : start + size]
            )
            with device_placement(self.framework, self.device_name), torch.no_grad():
                decisions = self.forward({"pictures": pictures}, **kwargs.get("forward_params", {}))
                results.extend(
                    self.postprocess([decision], **kwargs.get("postprocess_params", {}))
                    for decision in decisions
                )
        return results

    def preprocess(self, inputs: Any, **preprocess_params: Any) -> Mapping[str, Any]:
        """Reads, resizes and normalises one input, see the preprocessor."""
        prepared: Mapping[str, Any] = self.preprocessor(inputs, **preprocess_params)
        return prepared

    def forward(self, inputs: Mapping[str, Any], **forward_params: Any) -> Any:
        """Decides the class of every pixel, see `VitAdapterSemanticSegmentation.forward`."""
        return self.model.forward(inputs, **forward_params)

    def postprocess(self, inputs: Any, **postprocess_params: Any) -> dict[str, Any]:
        """Gives masks, labels and scores, see `VitAdapterSemanticSegmentation.postprocess`."""
        results: dict[str, Any] = self.model.postprocess(inputs, **postprocess_params)
        return results


def _is_stream(value: object) -> bool:
    """Whether a value is a collection of inputs but no list: a data set, a generator, a tuple."""
    if isinstance(value, NO_STREAMS) or hasattr(value, "read"):
        return False
    return hasattr(value, "__iter__") or (
        hasattr(value, "__len__") and hasattr(value, "__getitem__") and not hasattr(value, "size")
    )
