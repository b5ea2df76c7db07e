"""The preprocessor of ViT-Adapter segmentation: an input to what the network is given."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from modelscope.preprocessors.base import Preprocessor

from modelscope_vitadapter.config.config_dict import ConfigDict
from modelscope_vitadapter.config.model_config import load_model_config
from modelscope_vitadapter.config.model_settings import find_input_transform
from modelscope_vitadapter.images.inputs import read_image
from modelscope_vitadapter.images.transforms import apply_transform, parse_transform
from modelscope_vitadapter.inference.memory_needs import check_picture_fits
from modelscope_vitadapter.plugin.hooks.entries import PREPROCESSOR
from modelscope_vitadapter.plugin.hooks.registries import register


@register(PREPROCESSOR)
class VitAdapterSegmentationPreprocessor(Preprocessor):  # type: ignore[misc]  # untyped
    """Reads an image and resizes and normalises it as the model's test pipeline says.

    Args:
        model_dir: directory whose `mmcv_config.py` holds the test pipeline; or
        config: a configuration that was read already, e.g. `model.cfg`. Changes made to it later
            take effect, as in the built-in model.
        **kwargs: what ModelScope passes on.
    """

    def __init__(
        self,
        model_dir: str | os.PathLike[str] | None = None,
        *,
        config: ConfigDict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if config is None and model_dir is not None:
            trust = bool(kwargs.get("trust_remote_code", False))
            config = load_model_config(Path(model_dir), trust_remote_code=trust).config
        self.model_config = config

    def __call__(self, data: object, *, max_pixels: int | None = None) -> Mapping[str, Any]:
        """Prepares one input.

        Args:
            data: anything that `images.inputs.read_image` takes.
            max_pixels: largest picture that is read; `images.pictures.MAX_PIXELS` by default.

        Returns:
            `img`: a list of `(3, h, w)` float32 tensors, one per test-time augmentation;
            `img_metas`: for each `ori_shape` `(height, width)` of the input and
            `flip_direction` (None, `horizontal` or `vertical`).

        Raises:
            ImageMemoryError: the memory that is free doesn't hold what is made of the input.
            ImageError: the input can't be taken as an image.
            ConfigError: the test pipeline can't be honoured.
        """
        if self.model_config is None:
            raise ValueError("this preprocessor has no configuration: pass model_dir or config")
        image = read_image(data, max_pixels=max_pixels, check_size=check_picture_fits)
        transform = parse_transform(find_input_transform(self.model_config))
        size = (int(image.shape[0]), int(image.shape[1]))
        augmented = apply_transform(transform, image)
        return {
            "img": [torch.from_numpy(one.image) for one in augmented],
            "img_metas": [{"ori_shape": size, "flip_direction": one.flip} for one in augmented],
        }
