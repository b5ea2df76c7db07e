"""The preprocessor of ViT-Adapter segmentation: an input to what the network is given."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelscope.preprocessors.base import Preprocessor

from modelscope_vitadapter.config.config_dict import ConfigDict
from modelscope_vitadapter.config.model_config import find_test_pipeline, load_model_config
from modelscope_vitadapter.config.test_pipeline import parse_test_pipeline
from modelscope_vitadapter.images.options import DEFAULT, ReadOptions
from modelscope_vitadapter.images.transforms import NetworkInput
from modelscope_vitadapter.plugin.registration import PREPROCESSOR, register
from modelscope_vitadapter.segmenter import prepare_image


@register(PREPROCESSOR)
class VitAdapterSegmentationPreprocessor(Preprocessor):  # type: ignore[misc]  # untyped
    """Reads an image and resizes and normalises it as the model's test pipeline says.

    Args:
        model_dir: directory whose `mmcv_config.py` holds the test pipeline; or
        config: a configuration that was read already, e.g. `model.cfg`.
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

    @property
    def model_config(self) -> ConfigDict | None:
        """What the test pipeline was read from; None where it is still to be given."""
        return self._config

    @model_config.setter
    def model_config(self, config: ConfigDict | None) -> None:
        self._config = config
        if config is not None:
            self._transform = parse_test_pipeline(find_test_pipeline(config))

    def __call__(
        self,
        data: object,
        *,
        max_pixels: int | None = None,
        options: ReadOptions = DEFAULT,
    ) -> Mapping[str, Any]:
        """Prepares one input; arguments and errors as of `segmenter.prepare_image`.

        `max_pixels` goes before that of the options.

        Returns:
            `img`: a list of `(3, h, w)` float32 tensors, one per test-time augmentation;
            `img_metas`: for each `ori_shape` `(height, width)` of the input and
            `flip_direction` (None, `horizontal` or `vertical`).
        """
        if self._config is None:
            raise ValueError("this preprocessor has no configuration: pass model_dir or config")
        if max_pixels is not None:
            options = replace(options, max_pixels=max_pixels)
        prepared = prepare_image(self._transform, data, options=options)
        size = prepared.image_size
        metas = [{"ori_shape": size, "flip_direction": flip} for flip in prepared.flips]
        return {"img": list(prepared.views), "img_metas": metas}


def network_input(sample: Mapping[str, Any]) -> NetworkInput:
    """What the preprocessor gave for an image, as the network's input."""
    return NetworkInput(
        views=tuple(sample["img"]),
        flips=tuple(meta["flip_direction"] for meta in sample["img_metas"]),
        image_size=sample["img_metas"][0]["ori_shape"],
    )
