"""The pipeline that ModelScope builds for `image-semantic-segmentation`."""

import importlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from modelscope.pipelines.base import Pipeline
from modelscope.utils.constant import ModelFile
from modelscope.utils.device import device_placement

from modelscope_vitadapter.devices import (
    arrange_network,
    builtin_device_name,
    prepare_forked_process,
    torch_device,
)
from modelscope_vitadapter.images.naming import describe
from modelscope_vitadapter.images.options import DEFAULT
from modelscope_vitadapter.inference.failures import OnError, attempt, elements, parse_on_error
from modelscope_vitadapter.inference.memory import check_probabilities_fit
from modelscope_vitadapter.logs import get_logger
from modelscope_vitadapter.plugin.call_options import CallOptions, changed
from modelscope_vitadapter.plugin.inputs import is_stream, video_frames
from modelscope_vitadapter.plugin.model import VitAdapterSemanticSegmentation
from modelscope_vitadapter.plugin.preprocessor import (
    VitAdapterSegmentationPreprocessor,
    network_input,
)
from modelscope_vitadapter.plugin.registration import (
    BUILTIN_PIPELINE,
    MODEL_TYPE,
    PIPELINE,
    register,
)
from modelscope_vitadapter.validation import parse_count

KNOWN_KEYWORDS = {
    *("torch_dtype", "adapter_form", "window_batch_size", "compile", "compile_options"),
    *("trust_remote_code", "device_map", "auto_collate", "config_file", "model_revision"),
}
"""What the pipeline, its model and ModelScope read; others have no effect."""

LOCKS = ("_preparing", "_model_prepare_lock")
"""Attributes that belong to one process: ours, and ModelScope's that it stands before."""

logger = get_logger()


@register(PIPELINE)
class VitAdapterSegmentationPipeline(Pipeline):  # type: ignore[misc]  # ModelScope is untyped
    """Segments images: `pipeline(Tasks.image_segmentation, model=...)(image)`.

    Args:
        model: a model directory or a model object; `pipeline()` takes a list with one of them too.
        preprocessor: another preprocessor than the model's own.
        device: `cpu`, `gpu`, `cuda:N`, or any device that PyTorch can use.
        batch_size: inputs of a list whose windows may go through the network together; by default
            all of them. They are read one after the other as room for their windows is made.
        max_pixels: largest image that is read, in pixels; `images.limits.MAX_PIXELS` by default.
        exif: `apply` (default) turns images as their EXIF orientation says, `ignore` leaves them
            as they are stored.
        bands: of TIFF files, the bands that are red, green and blue, counted from 1, such as
            `(3, 2, 1)`, or one that is grey.
        value_range: `(black, white)` of images whose values have another range than 8 or 16 bits.
        on_error: what becomes of an input of a list or an iterable that fails by its own fault.
            `raise` (default) raises its error, with the input's index, counted from 0, and its name
            in the message. `skip` leaves it out and logs why; a function is given a
            `failures.Failure` in place of the log. The results of the others then come in order,
            each with the `index` of its input beside the usual keys.
        **kwargs: `torch_dtype`, `adapter_form`, `window_batch_size` (see
            `VitAdapterSemanticSegmentation`), `compile`, `compile_options`, and what ModelScope
            passes on.

    Calling it with one input gives one result, with a list a list of results, with a dataset or
    another iterable an iterator of results, and likewise with a video: a path of one or a
    `cv2.VideoCapture`. Inputs: see `images.reading.read_image`. Call options: `mask_dtype`,
    `output` (see `VitAdapterSemanticSegmentation.postprocess`), `confidence`, `top_k`, `threshold`,
    `ignore_id` (see `inference.wanted.Wanted`), `probabilities`: the `.npy` file, or for several
    inputs the folder of files named by their index, to which the probabilities of all classes are
    written; `max_pixels`, `exif`, `bands`, `value_range`, `batch_size`, `on_error`, and for a video
    `frame_step`: every how many frames one is segmented.

    Threads may share a pipeline. It can be pickled, so a process that is started by spawning may
    be given it. A forked process may use its parent's, or build its own, and computes in one
    thread.
    """

    @classmethod
    def _instantiate(cls, **kwargs: Any) -> Pipeline:
        """Hands models of other types that share the pipeline type back to the built-in class."""
        model = kwargs.get("model")
        models = model if isinstance(model, list) else [model]
        if any(map(is_vitadapter, models)):
            if len(models) > 1:
                raise ValueError(
                    f"model=[...] has {len(models)} models: expected one; build a pipeline for each"
                )
            return cls(**{**kwargs, "model": models[0]})
        module, name = BUILTIN_PIPELINE
        return getattr(importlib.import_module(module), name)(**kwargs)

    def __init__(
        self,
        model: Any,
        *,
        preprocessor: Any = None,
        device: str | torch.device = "gpu",
        batch_size: int | None = None,
        max_pixels: int | None = None,
        exif: str | None = None,
        bands: Sequence[int] | None = None,
        value_range: Sequence[float] | None = None,
        on_error: OnError = "raise",
        **kwargs: Any,
    ) -> None:
        self.batch_size = None if batch_size is None else parse_count("batch_size", batch_size)
        given = {"max_pixels": max_pixels, "exif": exif, "bands": bands, "value_range": value_range}
        self.read_options = changed(DEFAULT, given)
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
        """Segments one input, a list, or the elements of an iterable as they are asked for."""
        size = kwargs.pop("batch_size", None)
        size = self.batch_size if size is None else parse_count("batch_size", size)
        on_error = kwargs.pop("on_error", None)
        on_error = self.on_error if on_error is None else parse_on_error(on_error)
        video = video_frames(input, kwargs.pop("frame_step", None))
        stream = video is not None or is_stream(input)
        options = CallOptions.parse(  # refused now, not while iterating
            kwargs,
            self.read_options,
            self.model.num_classes,
            several=stream or isinstance(input, list),
        )
        if isinstance(input, list):
            step = size or max(len(input), 1)
            return [
                result
                for start in range(0, len(input), step)
                for result in self._segment(input[start : start + step], start, on_error, options)
            ]
        if stream:
            return self._stream(input if video is None else video, on_error, options)
        return self._segment_one(input, options)

    def _segment_one(self, one: Any, options: CallOptions) -> dict[str, Any]:
        self.prepare_model()
        with device_placement(self.framework, self.device_name), torch.no_grad():
            prepared = [self._prepare(one, options)]
            predictions = self.forward({"images": prepared}, wanted=options.wanted)
            del prepared  # masks are larger
            return self.postprocess(predictions, **options.postprocessing)

    def _prepare(self, one: Any, options: CallOptions) -> Any:
        """Preprocesses an input, unless what is wanted of it does not fit into memory."""
        chosen = {} if options.read == DEFAULT else {"options": options.read}
        prepared = self.preprocess(one, **chosen)
        if options.wanted.probabilities is True and options.folder is None:
            check_probabilities_fit(network_input(prepared).image_size, self.model.num_classes)
        return prepared

    def _stream(
        self, inputs: Any, on_error: OnError, options: CallOptions
    ) -> Iterator[dict[str, Any]]:
        for index, one in elements(inputs, on_error):
            yield from self._segment([one], index, on_error, options)

    def _segment(
        self, inputs: Sequence[Any], first: int, on_error: OnError, options: CallOptions
    ) -> list[dict[str, Any]]:
        """Segments some inputs, numbered from `first` on; each is read when its turn comes."""
        names: list[str] = []  # of inputs that were read
        indices: list[int] = []

        def prepared() -> Iterator[Mapping[str, Any]]:
            for index, one in enumerate(inputs, first):
                name = describe(one)
                work = partial(self._prepare, one, options)
                ready = attempt(work, index, name, on_error)
                if ready is not None:
                    names.append(name)
                    indices.append(index)
                    yield ready

        results: list[dict[str, Any]] = []
        self.prepare_model()
        with device_placement(self.framework, self.device_name), torch.no_grad():
            wanted = options.wanted_of(indices)
            for number, prediction in enumerate(
                self.forward({"images": prepared()}, wanted=wanted)
            ):
                index = indices[number]
                finish = partial(self.postprocess, [prediction], **options.postprocessing)
                result = attempt(finish, index, names[number], on_error)
                if result is not None:
                    results.append(result if on_error == "raise" else {**result, "index": index})
        return results

    def prepare_model(self) -> None:
        """Moves the model to its device, at the first call; other threads wait meanwhile.

        ModelScope's own leaves its lock taken where it fails or is interrupted, and every later
        call then waits for ten minutes.
        """
        if self._model_prepare:
            return
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

    def _make_locks(self) -> None:
        self._process = os.getpid()
        self._preparing, self._model_prepare_lock = Lock(), Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in LOCKS}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._make_locks()

    def forward(self, inputs: Mapping[str, Any], **forward_params: Any) -> Any:
        """Decides the class of every pixel, see `VitAdapterSemanticSegmentation.forward`."""
        return self.model.forward(inputs, **forward_params)

    def postprocess(self, inputs: Any, **postprocess_params: Any) -> dict[str, Any]:
        """Gives masks, labels and scores, see `VitAdapterSemanticSegmentation.postprocess`."""
        return self.model.postprocess(inputs, **postprocess_params)  # type: ignore[no-any-return]


def is_vitadapter(model: Any) -> bool:
    """Whether an object is our model, or a directory names our type or none."""
    if isinstance(model, str | Path):
        return directory_type(Path(model)) in (None, MODEL_TYPE)
    return isinstance(model, VitAdapterSemanticSegmentation)


def directory_type(model_dir: Path) -> str | None:
    """The model type that a directory's `configuration.json` names; None where it names none."""
    try:
        content = json.loads((model_dir / ModelFile.CONFIGURATION).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    section = content.get("model") if isinstance(content, dict) else None
    if not isinstance(section, dict):
        return None
    found = section.get("type", section.get("model_type"))
    return found if isinstance(found, str) else None
