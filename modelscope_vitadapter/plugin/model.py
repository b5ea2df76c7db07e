"""The model that ModelScope builds for `vitadapter-semantic-segmentation`."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from modelscope.models.base import TorchModel
from modelscope.outputs import OutputKeys
from modelscope.utils.checkpoint import save_checkpoint, save_configuration
from modelscope.utils.config import Config
from modelscope.utils.constant import ModelFile

from modelscope_vitadapter.checkpoint.model_directory import (
    DEFAULT_CHECKPOINT_NAME,
    save_model_directory,
)
from modelscope_vitadapter.config.model_config import CONFIG_FILE
from modelscope_vitadapter.devices import builtin_device_name
from modelscope_vitadapter.inference.memory import check_masks_fit
from modelscope_vitadapter.inference.results import (
    SCORE,
    Prediction,
    class_masks,
    compact,
    parse_mask_dtype,
    parse_output,
    present_classes,
)
from modelscope_vitadapter.inference.wanted import CLASS_ONLY, Wanted
from modelscope_vitadapter.plugin.preprocessor import network_input
from modelscope_vitadapter.plugin.registration import MODEL, default_configuration, register
from modelscope_vitadapter.segmenter import Segmenter


@register(MODEL)
class VitAdapterSemanticSegmentation(TorchModel):  # type: ignore[misc]  # ModelScope is untyped
    """ViT-Adapter with a Mask2Former head, from a model directory in the hub's layout.

    Attributes:
        model: the network; maps windows `(B, 3, H, W)` to class logits `(B, Q, K + 1)` and mask
            logits `(B, Q, H / 4, W / 4)` of Q queries.
        cfg: what was read of `mmcv_config.py`, with attribute access.
        CLASSES: names of the classes by id.
        PALETTE: `[R, G, B]` of each class, 0 to 255.

    Args:
        model_dir: directory with `mmcv_config.py` and a checkpoint.
        torch_dtype: this, `adapter_form` and `window_batch_size` are as of `Segmenter.load`, and so
            are the errors.
        segmenter: what was loaded, or made, already.
        config_text: of the `mmcv_config.py` that `save_pretrained` writes; the directory's own
            where it is None.
        **kwargs: what ModelScope passes on; `trust_remote_code` allows `mmcv_config.py` to be
            executed where it can't be read as data.
    """

    def __init__(
        self,
        model_dir: str | os.PathLike[str],
        *,
        torch_dtype: str | torch.dtype | None = None,
        adapter_form: str | None = None,
        window_batch_size: int | None = None,
        segmenter: Segmenter | None = None,
        config_text: str | None = None,
        **kwargs: Any,
    ) -> None:
        if "device" in kwargs:
            kwargs["device"] = builtin_device_name(kwargs["device"])
        super().__init__(os.fspath(model_dir), **kwargs)
        self.segmenter = segmenter or Segmenter.load(
            model_dir,
            torch_dtype=torch_dtype,
            adapter_form=adapter_form,
            window_batch_size=window_batch_size,
            trust_remote_code=self.trust_remote_code,
        )
        self._config_text = config_text
        self.model = self.segmenter.network
        config = self.segmenter.config
        self.cfg, self.windows = config.config, config.settings.windows
        self.CLASSES, self.PALETTE = config.classes, config.palette
        self.num_classes = len(self.CLASSES)

    def forward(
        self, inputs: Mapping[str, Any], *, wanted: Wanted = CLASS_ONLY
    ) -> list[Prediction] | Iterator[Prediction]:
        """Decides the class of every pixel of images, see `Segmenter.predict`.

        Args:
            inputs: what the preprocessor gives for one image, or `{'images': ...}` with several.
            wanted: what is given beside the class of each pixel.

        Returns:
            A `Prediction` per image, on the model's device: a list, or, where `images` is an
            iterator, an iterator that takes and decides them as they are asked for.
        """
        samples = inputs.get("images", [inputs])
        self.segmenter.network = self.model  # it may have been replaced, as by a quantised one
        predictions = self.segmenter.predict(map(network_input, samples), wanted=wanted)
        return predictions if isinstance(samples, Iterator) else list(predictions)

    def inference(self, data: Mapping[str, Any]) -> list[np.ndarray]:
        """Class maps `(H, W)` int64 of preprocessed images; arguments as `forward`."""
        return [prediction.class_map.cpu().numpy() for prediction in self.forward(data)]

    def postprocess(
        self, inputs: Any, *, mask_dtype: Any = np.int64, output: str = "masks"
    ) -> dict[str, Any]:
        """Turns the first one of what `forward` or `inference` gives into ModelScope's result.

        Returns:
            `masks` (a list of `(H, W)` arrays of 0 and 1, one per class present, in descending
            class id), `labels` and `scores` (0.999 each). With `output='class_map'`, `class_map`
            `(H, W)` uint8 (int32 for ids beyond 255) and `class_ids` in place of `masks`. Pixels
            below a threshold have the ignore id there, and are in no mask. With
            `output='probabilities'` the same and `probabilities` `(K, H, W)` float16, or the path
            of the file that holds them. As far as they were wanted: `confidence` `(H, W)` float16,
            `top_ids` `(k, H, W)` of the type of a class map and `top_probabilities` `(k, H, W)`
            float16.

        Raises:
            ImageMemoryError: the masks need more memory than is free.
            ValueError: the output needs probabilities, and `forward` was not asked for them.
        """
        output, dtype = parse_output(output), parse_mask_dtype(mask_dtype)
        found = inputs[0]
        if not isinstance(found, Prediction):
            found = Prediction(torch.as_tensor(found))
        if output == "probabilities" and found.probabilities is None:
            raise ValueError(
                "output='probabilities': expected a prediction that holds them; call forward with "
                "wanted=Wanted(probabilities=True)"
            )
        class_map = found.class_map.cpu().numpy()
        ids = present_classes(class_map, self.num_classes)
        results: dict[str, Any] = {}
        if output == "masks":
            check_masks_fit(class_map.shape, len(ids), dtype)
            results[OutputKeys.MASKS] = class_masks(class_map, ids, dtype)
        else:
            results["class_map"] = compact(class_map, self.num_classes, found.ignore_id)
            results["class_ids"] = ids
        results[OutputKeys.LABELS] = [self.CLASSES[i] for i in ids]
        results[OutputKeys.SCORES] = [SCORE for _ in ids]
        for name in ("confidence", "top_ids", "top_probabilities", "probabilities"):
            value = getattr(found, name)
            if value is not None:
                results[name] = str(value) if isinstance(value, Path) else value.cpu().numpy()
        return results

    def compile(self, **kwargs: Any) -> "VitAdapterSemanticSegmentation":
        """Compiles the network in place, with arguments of `torch.compile`; names stay."""
        self.model.compile(**kwargs)
        return self

    def save_pretrained(
        self,
        target_folder: str | os.PathLike[str],
        save_checkpoint_names: str | list[str] | None = None,
        save_function: Callable[..., None] = save_checkpoint,
        config: Mapping[str, Any] | None = None,
        save_config_function: Callable[..., None] = save_configuration,
        **kwargs: Any,
    ) -> None:
        """Writes a model directory in the hub's layout; it never loads half-written.

        Args:
            target_folder: made where it does not exist.
            save_checkpoint_names: name of the checkpoint: `model.safetensors` (default), or
                `pytorch_model.pt`, which the built-in model reads too.
            save_function: another one than ModelScope's writes the checkpoint in our place, called
                as `save_function(model, path, **kwargs)`; ModelScope's checkpoint hook passes one
                that does nothing. Only the other files are then sure to be whole.
            config: content of `configuration.json`; that of the model's own directory by default.
            save_config_function: writes it, called as `save_config_function(folder, config)`.
            **kwargs: for `save_function`.

        Raises:
            CheckpointError: the name would not be found again, or the directory can't be written.
        """
        content = self.configuration() if config is None else config

        def write(folder: Path) -> None:
            save_config_function(os.fspath(folder), content)
            if self._config_text is not None:
                (folder / CONFIG_FILE).write_text(self._config_text, encoding="utf-8")

        names = save_checkpoint_names or DEFAULT_CHECKPOINT_NAME
        name = names if isinstance(names, str) else names[0]
        target, own_weights = Path(target_folder), save_function is save_checkpoint
        save_model_directory(
            self.state_dict() if own_weights else None,
            Path(self.model_dir),
            target,
            checkpoint_name=name,
            write_configuration=write,
        )
        if not own_weights:
            save_function(self, str(target / name), **kwargs)

    def configuration(self) -> dict[str, Any]:
        """The content of `configuration.json` of the model's own directory."""
        path = Path(self.model_dir) / ModelFile.CONFIGURATION
        if path.is_file():
            content: dict[str, Any] = Config.from_file(str(path)).to_dict()
            return content
        return default_configuration()
