"""Any form of a model as something that segments pictures for an evaluation."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modelscope_vitadapter.distributed import local_rank
from modelscope_vitadapter.errors import ConfigNotFoundError
from modelscope_vitadapter.evaluation.processes import on_cpu

TOGETHER_ON_GPU = 8
"""Pictures whose windows may share a batch on a GPU. On a CPU pictures go one by one, so that the
progress bar moves and no more is held."""

SAMPLED_WEIGHTS = 1024
"""Numbers of each weight that tell models apart: reading all of a large one takes seconds."""


@dataclass(frozen=True)
class EvaluatedModel:
    """A model that is being evaluated.

    Attributes:
        name: its id or directory.
        classes: names of its classes by id.
        identity: a text that is another one for other weights or settings.
        settings: what its answers may depend on beside its weights.
        segmentor: the pipeline.
    """

    name: str
    classes: tuple[str, ...]
    identity: str
    settings: dict[str, str]
    segmentor: Any

    def segment(self, images: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[Any]]:
        """Class maps `(H, W)` of pictures `(H, W, 3)` BGR, in order, taken as they are needed."""
        together = 1 if self.settings["device"] == "cpu" else TOGETHER_ON_GPU
        remaining = iter(images)
        while chunk := list(islice(remaining, together)):
            results = self.segmentor(chunk, output="class_map", on_error="raise")
            while results:
                yield results.pop(0)["class_map"]


@contextmanager
def opened_model(
    model: Any, *, device: str | None = None, **options: Any
) -> Iterator[EvaluatedModel]:
    """Bring a model into the form in which it is evaluated, for the time of a `with` block.

    Args:
        model: Id, directory, model object or pipeline. An object that was in training mode is in
            it again afterwards.
        device: As of `pipeline()`; the object's own for objects. Of several processes each takes
            the GPU of its number by default.
        **options: For `pipeline()`, where it is built here.

    Yields:
        The model.

    Raises:
        ConfigNotFoundError: A directory does not exist.
        TypeError: It is a pipeline or model of something else.
    """
    segmentor = _pipeline_of(model, device, options)
    owner = segmentor.model
    classes = getattr(owner, "CLASSES", None)
    network = getattr(owner, "model", None)
    if classes is None or not isinstance(network, torch.nn.Module):
        raise TypeError(
            f"a {type(segmentor).__name__} with a {type(owner).__name__} can't be evaluated: "
            "expected the id or directory of a ViT-Adapter segmentation model, or its object"
        )
    was_training = bool(getattr(owner, "training", False))
    owner.eval()
    try:
        if not segmentor._model_prepare:
            segmentor.prepare_model()
        name = model if isinstance(model, str | os.PathLike) else getattr(owner, "model_dir", "")
        yield EvaluatedModel(
            name=str(name) or type(owner).__name__,
            classes=tuple(classes[: getattr(network, "num_classes", len(classes))]),
            identity=_identity(owner, network),
            settings={
                "device": next(network.parameters()).device.type,
                "torch_dtype": str(getattr(owner, "torch_dtype", torch.float32)).split(".")[-1],
            },
            segmentor=segmentor,
        )
    finally:
        owner.train(was_training)


def _pipeline_of(model: Any, device: str | None, options: dict[str, Any]) -> Any:
    from modelscope.pipelines import pipeline
    from modelscope.pipelines.base import Pipeline

    import modelscope_vitadapter  # noqa: F401  # its classes, also where no hook is installed

    if isinstance(model, Pipeline):
        return model
    if isinstance(model, str | os.PathLike):
        model = directory_or_id(os.fspath(model))
        if device in (None, "gpu", "cuda"):
            device = "cpu" if on_cpu(None) else f"cuda:{local_rank()}"
    elif isinstance(model, torch.nn.Module):
        device = device or str(next(model.parameters()).device)
    return pipeline("image-segmentation", model=model, device=device or "gpu", **options)


def directory_or_id(model: str) -> str:
    """Refuse a directory that is not there; ModelScope would ask its hub for a model of that id."""
    path = Path(model).expanduser()
    if path.is_dir():
        return str(path)
    if path.is_absolute() or len(path.parts) != 2 or model.startswith("."):
        raise ConfigNotFoundError(
            f"model directory {model!r} does not exist; expected a directory, or the id of a model "
            "such as 'damo/cv_vitadapter_semantic-segmentation_cocostuff164k'"
        )
    return model


def _identity(owner: Any, network: torch.nn.Module) -> str:
    """A digest of weights (of some of their numbers), windows, test pipeline and precision."""
    digest = hashlib.sha256()
    for name, weight in network.state_dict().items():
        flat = weight.detach().reshape(-1)
        sample = flat[:: max(1, flat.numel() // SAMPLED_WEIGHTS)].float().cpu().numpy()
        digest.update(f"{name}{tuple(weight.shape)}".encode())
        digest.update(sample.tobytes())
    config = getattr(owner, "cfg", None) or {}
    for part in ("windows", "torch_dtype"):
        digest.update(repr(getattr(owner, part, None)).encode())
    digest.update(repr(config.get("data", {}).get("test")).encode())
    return f"model {digest.hexdigest()[:16]}"
