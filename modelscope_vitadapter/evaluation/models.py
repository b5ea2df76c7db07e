"""Any form of a model as a segmenter, for the time of an evaluation."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from modelscope_vitadapter.config.settings import parse_adapter_form
from modelscope_vitadapter.devices import arrange_network, torch_device
from modelscope_vitadapter.distributed import first_process_does, own_device_name
from modelscope_vitadapter.segmenter import Segmenter, model_directory

SAMPLED_WEIGHTS = 1024
"""Numbers of each weight that tell models apart: reading all of a large one takes seconds."""


@contextmanager
def opened_segmenter(
    model: Any, *, device: str | None = None, **options: Any
) -> Iterator[Segmenter]:
    """Brings a model into the form in which it is evaluated, for the time of a `with` block.

    Args:
        model: id, directory, `Segmenter`, model object or pipeline of this package. One that was
            in training mode is in it again afterwards.
        device: as of `pipeline()`; where an object is by default. Of several processes each takes
            the GPU of its number.
        **options: of `Segmenter.load`, where `model` is an id or a directory.

    Yields:
        The segmenter, in evaluation mode.

    Raises:
        ConfigNotFoundError: a directory does not exist.
        TypeError: it is a pipeline or model of something else, or an option was given for an
            object.
    """
    if isinstance(model, str | os.PathLike):
        segmenter = _loaded(os.fspath(model), device or "gpu", options)
        module: torch.nn.Module = segmenter.network
    else:
        segmenter, module = _of_object(model)
        given = [name for name, value in options.items() if value]
        if given:
            raise TypeError(
                f"{given[0]}: expected only with the id or directory of a model; this "
                f"{type(model).__name__} is loaded already"
            )
        if device is not None:
            module.to(_device(device))
    was_training = module.training
    module.eval()
    try:
        yield segmenter
    finally:
        module.train(was_training)


def _loaded(name: str, device: str, options: dict[str, Any]) -> Segmenter:
    first_process_does(lambda: str(model_directory(name)))  # one of several downloads it
    place = _device(device)
    segmenter = Segmenter.load(model_directory(name), device=place, **options)
    arrange_network(segmenter.network, place)
    return segmenter


def _of_object(model: Any) -> tuple[Segmenter, torch.nn.Module]:
    """The segmenter of an object, and the module whose mode is the model's."""
    if isinstance(model, Segmenter):
        return model, model.network
    owner = model if hasattr(model, "segmenter") else getattr(model, "model", None)
    segmenter = getattr(owner, "segmenter", None)
    if not isinstance(owner, torch.nn.Module) or not isinstance(segmenter, Segmenter):
        raise TypeError(
            f"{type(model).__name__} can't be evaluated: expected the id or directory of a "
            "ViT-Adapter segmentation model, a Segmenter, or a model object or pipeline of this "
            "package"
        )
    if owner is not model:
        model.prepare_model()  # a pipeline moves its model to its device before the first call
    if isinstance(owner.model, torch.nn.Module):
        segmenter.network = owner.model  # it may have been replaced, as by a quantised one
    return segmenter, owner


def _device(name: str) -> torch.device:
    """The device that a name of `pipeline()` means; `gpu` is the CPU where there is no CUDA.

    Raises:
        ValueError: PyTorch knows no such device, or one GPU was named for several processes.
    """
    has_cuda = torch.cuda.is_available()
    kind, _, number = own_device_name(name, has_cuda=has_cuda).lower().partition(":")
    if kind in ("gpu", "cuda"):
        return torch.device(f"cuda:{number or 0}" if has_cuda else "cpu")
    return torch_device(name) or torch.device(name)


def model_identity(segmenter: Segmenter, adapter_form: str | None = None) -> str:
    """A text that is another one for other weights (by some of their numbers) or settings."""
    digest = hashlib.sha256()
    for name, weight in segmenter.network.state_dict().items():
        flat = weight.detach().reshape(-1)
        sample = flat[:: max(1, flat.numel() // SAMPLED_WEIGHTS)].float().cpu().numpy()
        digest.update(f"{name}{tuple(weight.shape)}".encode())
        digest.update(sample.tobytes())
    config, form = segmenter.config, parse_adapter_form(adapter_form)
    digest.update(repr((config.settings, config.transform, segmenter.dtype, form)).encode())
    return f"model {digest.hexdigest()[:16]}"
