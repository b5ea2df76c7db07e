"""A model directory as something that segments images, without ModelScope.

`Segmenter.load("my_model").segment(["photo.jpg"])` gives a prediction for each image: `class_map`
`(H, W)` int64 of ids, which index the segmenter's `config.classes`.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import nn

from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.checkpoint.model_directory import find_checkpoint
from modelscope_vitadapter.config.model_config import ModelConfig, load_model_config
from modelscope_vitadapter.config.settings import parse_adapter_form
from modelscope_vitadapter.config.test_pipeline import InputTransform
from modelscope_vitadapter.devices import parse_torch_dtype, prepare_forked_process, usable_dtype
from modelscope_vitadapter.errors import ConfigNotFoundError
from modelscope_vitadapter.images.options import DEFAULT, ReadOptions
from modelscope_vitadapter.images.reading import read_image
from modelscope_vitadapter.images.transforms import NetworkInput, apply_transform
from modelscope_vitadapter.inference.batches import automatic_batch_size
from modelscope_vitadapter.inference.memory import check_image_fits
from modelscope_vitadapter.inference.predictor import predict
from modelscope_vitadapter.inference.results import Prediction
from modelscope_vitadapter.inference.wanted import CLASS_ONLY, Wanted
from modelscope_vitadapter.network.build import build_network
from modelscope_vitadapter.validation import parse_count

SAMPLED_WEIGHTS = 1024
"""Numbers of each weight that tell models apart: reading all of a large one takes seconds."""


class Segmenter:
    """Decides the class of every pixel of images.

    Attributes:
        network: maps windows `(B, 3, H, W)` to class and mask logits; in evaluation mode.
        config: settings, class names, palette and test pipeline of the model.
        dtype: what is computed in; weights stay float32.
        window_batch_size: windows that go through the network together; None for as many as pay
            and fit into the free memory. The answer does not depend on it.
    """

    def __init__(
        self,
        network: nn.Module,
        config: ModelConfig,
        *,
        torch_dtype: str | torch.dtype | None = None,
        window_batch_size: int | None = None,
    ) -> None:
        self.network = network
        self.config = config
        self.dtype = parse_torch_dtype(torch_dtype)
        if window_batch_size is not None:
            parse_count("window_batch_size", window_batch_size)
        self.window_batch_size = window_batch_size

    @classmethod
    def load(
        cls,
        model_dir: str | os.PathLike[str],
        *,
        torch_dtype: str | torch.dtype | None = None,
        adapter_form: str | None = None,
        window_batch_size: int | None = None,
        trust_remote_code: bool = False,
        device: str | torch.device = "cpu",
    ) -> "Segmenter":
        """Builds the network of a model directory and fills it from its checkpoint.

        Args:
            model_dir: directory with `mmcv_config.py` and a checkpoint.
            torch_dtype: `float32` (default), `bfloat16` or `float16`. A CPU without instructions
                for it computes in float32 and says so.
            adapter_form: `builtin` (default) or `authors`, see `config.settings.AdapterForm`.
            window_batch_size: see the class.
            trust_remote_code: execute `mmcv_config.py` where it can't be read as data.
            device: where the weights go.

        Raises:
            ConfigError: the configuration is missing, unreadable or can't be honoured.
            CheckpointError: the checkpoint is missing, unreadable or doesn't fit.
            ValueError: an option has a value that is not allowed.
        """
        prepare_forked_process()
        form = parse_adapter_form(adapter_form)
        config = load_model_config(Path(model_dir), trust_remote_code=trust_remote_code)
        with torch.device("meta"):
            network = build_network(config.settings, adapter_form=form)
        segmenter = cls(
            network.eval(), config, torch_dtype=torch_dtype, window_batch_size=window_batch_size
        )
        load_into(network, find_checkpoint(Path(model_dir)), device=device)
        return segmenter

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def prepare(self, source: object, *, options: ReadOptions = DEFAULT) -> NetworkInput:
        """Reads an image as the model's test pipeline says, see `prepare_image`."""
        return prepare_image(self.config.transform, source, options=options)

    @torch.inference_mode()  # entered and left at each step of the generator
    def predict(
        self, inputs: Iterable[NetworkInput], *, wanted: Wanted = CLASS_ONLY
    ) -> Iterator[Prediction]:
        """Decides prepared images, each when it is asked for.

        Args:
            inputs: what `prepare` gives; taken one by one, as batches of windows have room.
            wanted: what is given beside the class of each pixel, such as `Wanted(top_k=3)`.

        Yields:
            A prediction for each input, in order, on the network's device; probabilities of all
            classes are on the CPU or in a file.

        Raises:
            ImageMemoryError: probabilities of all classes need more memory than is free.
            OSError: the file of these can't be written.
            ValueError: `wanted` has a value that is not allowed.
            torch.OutOfMemoryError: the device's memory is not enough for a single window; of more
                windows, smaller batches are tried.
        """
        prepare_forked_process()
        device, settings = self.device, self.config.settings
        fixed, automatic = self.window_batch_size, automatic_batch_size(device, settings)
        yield from predict(
            self.network,
            (one.to(device) for one in inputs),
            settings.windows,
            num_classes=settings.head.num_classes,
            batch_size=automatic if fixed is None else lambda size: fixed,
            wanted=wanted,
            dtype=usable_dtype(self.dtype, device),
        )

    def segment(
        self,
        sources: Iterable[object],
        *,
        wanted: Wanted = CLASS_ONLY,
        options: ReadOptions = DEFAULT,
    ) -> Iterator[Prediction]:
        """Reads and decides images; arguments as `prepare` and `predict`."""
        inputs = (self.prepare(one, options=options) for one in sources)
        return self.predict(inputs, wanted=wanted)


def prepare_image(
    transform: InputTransform, source: object, *, options: ReadOptions = DEFAULT
) -> NetworkInput:
    """Reads an image, and resizes and normalises it as a test pipeline says.

    `source` and `options` are as of `images.reading.read_image`.

    Raises:
        ImageError: it can't be taken as an image, or what is made of it doesn't fit into the memory
            that is free.
    """
    image = read_image(source, options=options, check_size=check_image_fits)
    return apply_transform(transform, image)


def model_directory(model: str | os.PathLike[str], revision: str | None = None) -> Path:
    """A model's directory: one as it is, or what the hub has under an id `owner/name`, downloaded.

    Raises:
        ConfigNotFoundError: it is neither.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    name = os.fspath(model)
    if path.is_absolute() or len(path.parts) != 2 or name.startswith((".", "~")):
        raise ConfigNotFoundError(
            f"model directory {name!r} does not exist; expected a directory, or the id of a model "
            "such as 'damo/cv_vitadapter_semantic-segmentation_cocostuff164k'"
        )
    # The one thing that a directory at hand does not need: ModelScope's client of its hub.
    from modelscope.hub.snapshot_download import snapshot_download

    return Path(snapshot_download(name, revision=revision))


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
