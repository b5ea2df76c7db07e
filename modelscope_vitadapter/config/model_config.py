"""Everything that a model takes from its `mmcv_config.py`, read and checked at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelscope_vitadapter.config.backbone import parse_backbone
from modelscope_vitadapter.config.config_dict import ConfigDict
from modelscope_vitadapter.config.fields import Fields
from modelscope_vitadapter.config.head import parse_head
from modelscope_vitadapter.config.reader import execute_config, read_config
from modelscope_vitadapter.config.settings import ModelSettings, WindowSettings
from modelscope_vitadapter.config.test_pipeline import InputTransform, parse_test_pipeline
from modelscope_vitadapter.config.unreadable import needed
from modelscope_vitadapter.errors import ConfigError, UnreadableConfigError
from modelscope_vitadapter.validation import shown

CONFIG_FILE = "mmcv_config.py"

SEGMENTORS = ("EncoderDecoderMask2Former", "EncoderDecoderMask2FormerAug")
"""The built-in model's name, and the authors' for the same network with more training steps."""

MAX_OVERLAP = 4096
"""Windows that a pixel may be in, where published configurations have up to 9."""


@dataclass(frozen=True)
class ModelConfig:
    """A configuration with what was read out of it.

    Attributes:
        config: all of it.
        settings: what the network is built from, and its windows.
        classes: names by class id.
        palette: `[R, G, B]` of each class, 0 to 255.
        transform: the test pipeline.
    """

    config: ConfigDict
    settings: ModelSettings
    classes: list[str]
    palette: list[list[int]]
    transform: InputTransform


def load_model_config(model_dir: Path, *, trust_remote_code: bool = False) -> ModelConfig:
    """Reads and checks the configuration of a model directory, the test pipeline included.

    Args:
        model_dir: directory with `mmcv_config.py`.
        trust_remote_code: where a value that is needed can't be read as data, execute the file.

    Raises:
        ConfigNotFoundError: there is no such file.
        UnreadableConfigError: a value that is needed can't be evaluated.
        ConfigError: the file can't be parsed, or a setting can't be honoured.
    """
    path = model_dir / CONFIG_FILE
    config = read_config(path, trust_remote_code=trust_remote_code)
    try:
        return _parse(config, path)
    except UnreadableConfigError as error:
        if not trust_remote_code:
            raise
        return _parse(execute_config(path, error), path)


def _parse(config: ConfigDict, path: Path) -> ModelConfig:
    """Read a configuration; errors name its file."""
    try:
        return parse_model_config(config)
    except ConfigError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error


def parse_model_config(config: ConfigDict) -> ModelConfig:
    """Reads what a model takes from a configuration that no file holds; errors as above."""
    settings = parse_model(config)
    return ModelConfig(
        config=config,
        settings=settings,
        classes=parse_classes(config, settings.head.num_classes),
        palette=parse_palette(config, settings.head.num_classes),
        transform=parse_test_pipeline(find_test_pipeline(config)),
    )


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
    fields.only("neck", None)
    backbone = parse_backbone(fields.child("backbone"))
    head = parse_head(fields.child("decode_head"), backbone.embed_dim)
    test_cfg, path = fields.take("test_cfg", None), "model.test_cfg"
    outside = config.get("test_cfg")
    if test_cfg is not None and outside is not None:
        raise ConfigError("mmcv_config.py has a test_cfg both in `model` and outside: keep one")
    if test_cfg is None:
        test_cfg, path = outside, "test_cfg"
    if test_cfg is None:
        raise ConfigError(
            "mmcv_config.py has no model.test_cfg: expected dict(mode='slide', crop_size=..., "
            "stride=...) or dict(mode='whole')"
        )
    fields.finish()
    return ModelSettings(backbone, head, _windows(Fields(test_cfg, path)))


def _windows(fields: Fields) -> WindowSettings:
    """Reads how images are cut.

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
        expected = f"one that puts a pixel in at most {MAX_OVERLAP} windows, not in {overlap}"
        raise fields.refuse("stride", stride, expected)
    return WindowSettings("slide", crop, stride)


def parse_classes(config: Mapping[str, object], num_classes: int) -> list[str]:
    """The class names, at least one for each class that the head predicts.

    Raises:
        ConfigError: if `CLASSES` is missing, holds no names or too few.
    """
    names = _sequence(config, "CLASSES", num_classes)
    if not all(isinstance(name, str) for name in names):
        raise ConfigError("CLASSES in mmcv_config.py: expected a list of names (str). Write it so")
    return [str(name) for name in names]


def parse_palette(config: Mapping[str, object], num_classes: int) -> list[list[int]]:
    """The class colours `[R, G, B]`, 0 to 255, as plain lists.

    Raises:
        ConfigError: if `PALETTE` is missing, holds no colours or too few.
    """
    colours = _sequence(config, "PALETTE", num_classes)
    palette = [list(colour) if isinstance(colour, Sequence) else [] for colour in colours]
    if not all(
        len(colour) == 3 and all(isinstance(part, int) and 0 <= part <= 255 for part in colour)
        for colour in palette
    ):
        raise ConfigError(
            "PALETTE in mmcv_config.py: expected a list of [red, green, blue], each 0 to "
            "255. Write it so"
        )
    return palette


def _sequence(config: Mapping[str, object], key: str, num_classes: int) -> Sequence[object]:
    """A list with an entry for each class."""
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
    if len(value) < num_classes:
        raise ConfigError(
            f"{key} in mmcv_config.py has {len(value)} entries, the decode_head predicts "
            f"{num_classes} classes: expected an entry for each"
        )
    return value


def find_test_pipeline(config: Mapping[str, object]) -> Sequence[Any]:
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
