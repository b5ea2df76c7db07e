"""Reads a whole configuration into the settings that the network is built from."""

from collections.abc import Mapping, Sequence
from typing import Any

from modelscope_vitadapter.config.backbone_settings import parse_backbone
from modelscope_vitadapter.config.fields import Fields
from modelscope_vitadapter.config.head_settings import parse_head
from modelscope_vitadapter.config.settings import ModelSettings, WindowSettings
from modelscope_vitadapter.config.size_limits import check_sizes
from modelscope_vitadapter.config.unreadable import needed
from modelscope_vitadapter.errors import ConfigError
from modelscope_vitadapter.validation import shown

SEGMENTORS = ("EncoderDecoderMask2Former", "EncoderDecoderMask2FormerAug")
"""The built-in model's name, and the authors' for the same network with more training steps."""

MAX_OVERLAP = 4096
"""Windows that a pixel may be in, where published configurations have up to 9."""


def parse_model(config: Mapping[str, object]) -> ModelSettings:
    """Reads `model` and `test_cfg` of a configuration.

    Args:
        config: what `read_config` gives.

    Raises:
        ConfigError: for what is missing or can't be honoured, by name.
    """
    if "model" not in config:
        raise ConfigError(
            "mmcv_config.py defines no `model`: it is no segmentation model's. Use the "
            "mmcv_config.py of the checkpoint"
        )
    fields = Fields(config["model"], "model")
    fields.kind(*SEGMENTORS)
    fields.skip("pretrained", "train_cfg", "init_cfg", "auxiliary_head")
    fields.only("neck", None, default=None)
    backbone = parse_backbone(fields.child("backbone"))
    head = parse_head(fields.child("decode_head"), backbone.embed_dim)
    test_cfg = fields.take("test_cfg", None)
    path = "model.test_cfg"
    if test_cfg is None:
        test_cfg, path = config.get("test_cfg"), "test_cfg"
    elif config.get("test_cfg") is not None:
        raise ConfigError("mmcv_config.py has a test_cfg both in `model` and outside: keep one")
    if test_cfg is None:
        raise ConfigError(
            "mmcv_config.py has no model.test_cfg: expected dict(mode='slide', crop_size=..., "
            "stride=...) or dict(mode='whole')"
        )
    windows = _windows(Fields(test_cfg, path))
    fields.finish()
    settings = ModelSettings(backbone=backbone, head=head, windows=windows)
    check_sizes(settings)
    return settings


def _windows(fields: Fields) -> WindowSettings:
    """Reads how inputs are cut.

    Other entries are passed over, as in the built-in model: published configurations carry
    panoptic and instance settings there (`panoptic_on`, `max_per_image`, ...) that nothing reads.
    """
    mode = fields.take("mode")
    if mode == "whole":
        return WindowSettings("whole")
    if mode != "slide":
        raise fields.refuse("mode", mode, "'slide' or 'whole'")
    crop, stride = fields.size("crop_size"), fields.size("stride")
    if stride[0] > crop[0] or stride[1] > crop[1]:
        expected = f"at most crop_size {crop}, or pixels between windows are in none"
        raise fields.refuse("stride", stride, expected)
    overlap = crop[0] * crop[1] // (stride[0] * stride[1])
    if overlap > MAX_OVERLAP:
        raise fields.refuse(
            "stride",
            stride,
            f"one with which no pixel is in more than {MAX_OVERLAP} windows, not in {overlap} of "
            f"crop_size {crop}",
        )
    return WindowSettings("slide", crop, stride)


def parse_classes(config: Mapping[str, object], num_classes: int) -> tuple[str, ...]:
    """The class names, one for each class that the head predicts.

    Raises:
        ConfigError: if `CLASSES` is missing, holds no names or too few.
    """
    names = _sequence(config, "CLASSES")
    if not all(isinstance(name, str) for name in names):
        raise ConfigError("CLASSES in mmcv_config.py: expected a list of names (str). Write it so")
    if len(names) < num_classes:
        raise ConfigError(
            f"CLASSES in mmcv_config.py has {len(names)} names, the decode_head predicts "
            f"{num_classes} classes: expected a name for each"
        )
    return tuple(str(name) for name in names)


def _sequence(config: Mapping[str, object], key: str) -> Sequence[object]:
    if key not in config:
        raise ConfigError(
            f"{key} is missing in mmcv_config.py: expected a list, with an entry for each class. "
            "Add it"
        )
    value = needed(config[key])
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ConfigError(
            f"{key} in mmcv_config.py is {shown(value)}: expected a list. Change it to one"
        )
    return value


def parse_palette(config: Mapping[str, object], num_classes: int) -> list[list[int]]:
    """The class colours `[R, G, B]`, 0 to 255, as plain lists.

    Raises:
        ConfigError: if `PALETTE` is missing, holds no colours or too few.
    """
    colours = _sequence(config, "PALETTE")
    palette = [list(colour) if isinstance(colour, Sequence) else [] for colour in colours]
    if not all(
        len(colour) == 3 and all(isinstance(part, int) and 0 <= part <= 255 for part in colour)
        for colour in palette
    ):
        raise ConfigError(
            "PALETTE in mmcv_config.py: expected a list of [red, green, blue], each 0 to "
            "255. Write it so"
        )
    if len(palette) < num_classes:
        raise ConfigError(
            f"PALETTE in mmcv_config.py has {len(palette)} colours, the decode_head predicts "
            f"{num_classes} classes: expected a colour for each"
        )
    return palette


def find_input_transform(config: Mapping[str, object]) -> Sequence[Any]:
    """The steps of `data.test.pipeline`, which the model was tested with.

    Raises:
        ConfigError: if they are missing or unreadable.
    """
    value: object = config
    for key in ("data", "test", "pipeline"):
        value = needed(value.get(key) if isinstance(value, Mapping) else None)
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise ConfigError(
            "mmcv_config.py has no data.test.pipeline: expected the list of test transforms. "
            "Add it, or use the mmcv_config.py of the checkpoint"
        )
    return value
