"""The pipeline that ModelScope builds for `image-semantic-segmentation`."""

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
import torch
from modelscope.pipelines.base import Pipeline
from modelscope.utils.device import device_placement

from modelscope_vitadapter.devices import (
    arrange_network,
    builtin_device_name,
    prepare_forked_process,
    torch_device,
)
from modelscope_vitadapter.images.naming import describe
from modelscope_vitadapter.inference.failures import OnError, attempt, elements, parse_on_error
from modelscope_vitadapter.inference.results import parse_mask_dtype, parse_output
from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.plugin.hooks.entries import PIPELINE
from modelscope_vitadapter.plugin.hooks.registries import builtin_pipeline_class, register
from modelscope_vitadapter.plugin.model import VitAdapterSemanticSegmentation
from modelscope_vitadapter.plugin.model_type import is_vitadapter
from modelscope_vitadapter.plugin.preprocessor import VitAdapterSegmentationPreprocessor
from modelscope_vitadapter.validation import parse_count, parse_flag

SERVER_OPTIONS = ("min_size", "max_size", "score_thr")
"""What ModelScope's server offers for this task; none of it has a meaning for semantic masks."""

NO_STREAMS = (str, bytes, bytearray, memoryview, Mapping, np.ndarray, torch.Tensor)
"""Types of a single input that can be iterated over all the same."""

KNOWN_KEYWORDS = {
    *("torch_dtype", "adapter_form", "window_batch_size", "compile", "compile_options"),
    *("trust_remote_code", "device_map", "auto_collate", "config_file", "model_revision"),
}
"""What the pipeline, its model and ModelScope read; other keywords are passed on to no effect."""

LOCKS = ("_preparing", "_model_prepare_lock")
"""Attributes that belong to one process: ours, and ModelScope's that it stands before."""

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
        on_error: what becomes of an input of a list or an iterable that fails. `raise` (default)
            raises its error, with the input's index, counted from 0, and its name in the message.
            `skip` leaves it out and logs why; a function is given a `failures.Failure` (index,
            name, error) in place of the log. The results of the others then come in order, each
            with the `index` of its input beside the usual keys. Errors that are not an input's own
            (of the network, out of memory, an interrupt) are always raised.
        max_pixels: largest picture that is read, in pixels; `images.reading.MAX_PIXELS` by
            default.
        **kwargs: `torch_dtype`, `adapter_form`, `window_batch_size` (see
            `VitAdapterSemanticSegmentation`), `compile`, `compile_options`, and what ModelScope
            passes on.

    Calling it with one input gives one result, with a list a list of results, with a data set or
    another iterable an iterator of results. Inputs: see `images.reading.read_image`. Call options:
    `mask_dtype`, `output`, `confidence` (see `VitAdapterSemanticSegmentation.postprocess`),
    `max_pixels`, `batch_size` and `on_error`.

    Threads may share a pipeline. It can be pickled, so a process that is started by spawning may
    be given it. A forked process may use its parent's, or build its own, and computes in one
    thread.
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
        max_pixels: int | None = None,
        on_error: OnError = "raise",
        **kwargs: Any,
    ) -> None:
        if isinstance(model, list) and len(model) == 1:
            model = model[0]
        self.batch_size = None if batch_size is None else parse_count("batch_size", batch_size)
        self.max_pixels = None if max_pixels is None else parse_count("max_pixels", max_pixels)
        self.on_error = parse_on_error(on_error)
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
        self._make_locks()
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
        size = kwargs.pop("batch_size", None)
        size = self.batch_size if size is None else parse_count("batch_size", size)
        if isinstance(input, list):
            kwargs["batch_size"] = size or max(len(input), 1)
        elif _is_stream(input):
            # Wrong options are refused now, not while iterating.
            options = self._sanitize_parameters(**kwargs)
            return self._stream(input, self._on_error(kwargs), *options)
        return super().__call__(input, *args, **kwargs)

    def _make_locks(self) -> None:
        self._process = os.getpid()
        self._preparing, self._model_prepare_lock = Lock(), Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in LOCKS}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._make_locks()

    def prepare_model(self) -> None:
        """Moves the model to its device, before the first call; other threads wait meanwhile.

        ModelScope's own leaves its lock taken where it fails or is interrupted, and every later
        call then waits for ten minutes.
        """
        if self._process != os.getpid():  # a thread that did not come along may hold the locks
            self._make_locks()
        prepare_forked_process()
        with self._preparing:
            try:
                super().prepare_model()
                arrange_network(self.model, next(self.model.parameters()).device)
            finally:
                if self._model_prepare_lock.locked():
                    self._model_prepare_lock.release()

    def _stream(
        self, inputs: Any, on_error: OnError, *options: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        for index, one in elements(inputs, on_error):
            if not self._model_prepare:
                self.prepare_model()
            yield from self._segment([one], index, on_error, *options)

    def _sanitize_parameters(
        self, **options: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Sorts call options into those of preprocessing, forward and postprocessing."""
        for name in SERVER_OPTIONS:
            options.pop(name, None)
        parse_on_error(options.pop("on_error", None))
        forward = {"confidence": parse_flag("confidence", options.pop("confidence", False))}
        limit = options.pop("max_pixels", None)
        limit = self.max_pixels if limit is None else parse_count("max_pixels", limit)
        unknown = set(options) - {"mask_dtype", "output"}
        if unknown:
            raise TypeError(
                f"unknown call option {sorted(unknown)[0]!r}: expected mask_dtype, output, "
                "confidence, max_pixels, batch_size or on_error"
            )
        # Refused here, an option is not taken for the fault of the first input.
        parse_mask_dtype(options.get("mask_dtype"))
        parse_output(options.get("output", "masks"))
        return {} if limit is None else {"max_pixels": limit}, forward, options

    def _check_input(self, input: Any) -> None:
        """Leaves the check to `read_image`, which takes more forms than ModelScope's own check."""

    def _process_single(self, input: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        with device_placement(self.framework, self.device_name), torch.no_grad():
            pictures = [self.preprocess(input, **kwargs.get("preprocess_params", {}))]
            decisions = self.forward({"pictures": pictures}, **kwargs.get("forward_params", {}))
            del pictures  # masks are larger
            return self.postprocess(decisions, **kwargs.get("postprocess_params", {}))

    def _process_batch(
        self,
        input: Sequence[Any],
        batch_size: int | None,
        **kwargs: Any,
    ) -> list[dict[str, Any]]:
        """Works on `batch_size` inputs at a time; each is read when its turn comes."""
        size = len(input) if batch_size is None else parse_count("batch_size", batch_size)
        options = [
            kwargs.get(name, {})
            for name in ("preprocess_params", "forward_params", "postprocess_params")
        ]
        results: list[dict[str, Any]] = []
        for start in range(0, len(input), max(size, 1)):
            inputs = input[start : start + size]
            results += self._segment(inputs, start, self._on_error(kwargs), *options)
        return results

    def _on_error(self, options: Mapping[str, Any]) -> OnError:
        given = options.get("on_error")
        return self.on_error if given is None else parse_on_error(given)

    def _segment(
        self,
        inputs: Sequence[Any],
        first: int,
        on_error: OnError,
        preprocessing: Mapping[str, Any],
        forwarding: Mapping[str, Any],
        postprocessing: Mapping[str, Any],
    ) -> list[dict[str, Any]]:
        """Segments some inputs of a list or an iterable; `first` is the first one's index."""
        taken: deque[tuple[int, str]] = deque()

        def pictures() -> Iterator[Mapping[str, Any]]:
            for index, one in enumerate(inputs, first):
                name = describe(one)
                work = partial(self.preprocess, one, **preprocessing)
                picture = attempt(work, index, name, on_error)
                if picture is not None:
                    taken.append((index, name))
                    yield picture

        results: list[dict[str, Any]] = []
        with device_placement(self.framework, self.device_name), torch.no_grad():
            for decision in self.forward({"pictures": pictures()}, **forwarding):
                index, name = taken.popleft()
                finish = partial(self.postprocess, [decision], **postprocessing)
                result = attempt(finish, index, name, on_error)
                if result is not None:
                    results.append(result if on_error == "raise" else {**result, "index": index})
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
