"""Everything that a model takes from its `mmcv_config.py`, read and checked at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelscope_vitadapter.config.backbone_and_head import parse_backbone, parse_head
from modelscope_vitadapter.config.config_dict import ConfigDict, needed
from modelscope_vitadapter.config.fields import Fields
from modelscope_vitadapter.config.reader import execute_config, read_config
from modelscope_vitadapter.config.settings import ModelSettings, WindowSettings
from modelscope_vitadapter.config.test_pipeline import InputTransform, parse_test_pipeline
from modelscope_vitadapter.errors import ConfigError, UnreadableConfigError
from modelscope_vitadapter.validation import shown

CONFIG_FILE = "mmcv_config.py"
# The built-in model's name, and the authors' for the same network with more training steps.
SEGMENTORS = ("EncoderDecoderMask2Former", "EncoderDecoderMask2FormerAug")
MAX_OVERLAP = 4096  # windows that a pixel may be in; published configurations have up to 9


@dataclass(frozen=True)
class ModelConfig:
    """A configuration with what was read out of it."""

    config: ConfigDict  # all of it
    settings: ModelSettings
    classes: list[str]  # names by class id
    palette: list[list[int]]  # `[R, G, B]` of each class, 0 to 255
    transform: InputTransform  # the test pipeline


def load_model_config(model_dir: Path, *, trust_remote_code: bool = False) -> ModelConfig:
    """Reads and checks the `mmcv_config.py` of a model directory.

    With `trust_remote_code` a file that can't be read as data, or of which a value that is needed
    can't, is executed with mmengine.

    Raises:
        ConfigNotFoundError: there is no such file.
        UnreadableConfigError: the file, or a value that is needed, can't be read as data.
        ConfigError: a setting can't be honoured.
    """
    path = model_dir / CONFIG_FILE
    try:
        try:
            return parse_model_config(read_config(path))
        except UnreadableConfigError as error:
            if not trust_remote_code:
                raise
            return parse_model_config(execute_config(path, error))
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
    """Reads `model` and `test_cfg`; `ConfigError` names what is missing or can't be honoured."""
    top = Fields(config, "")
    fields = top.child("model")
    fields.kind(*SEGMENTORS)
    fields.skip("pretrained", "train_cfg", "init_cfg", "auxiliary_head")
    fields.fixed(neck=None)
    backbone = parse_backbone(fields.child("backbone"))
    head = parse_head(fields.child("decode_head"), backbone.embed_dim)
    inside, outside = fields.take("test_cfg", None), top.take("test_cfg", None)
    fields.finish()
    if (inside is None) == (outside is None):
        raise ConfigError(
            f"mmcv_config.py has {'no' if inside is None else 'more than one'} test_cfg: expected "
            "model.test_cfg or test_cfg, dict(mode='slide', crop_size=..., stride=...) or "
            "dict(mode='whole')"
        )
    windows = Fields(outside, "test_cfg") if inside is None else Fields(inside, "model.test_cfg")
    return ModelSettings(backbone, head, _windows(windows))


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
    overlap = crop[0] * crop[1] // (stride[0] * stride[1])
    if stride[0] > crop[0] or stride[1] > crop[1] or overlap > MAX_OVERLAP:
        expected = f"at most crop_size {crop}, and each pixel in at most {MAX_OVERLAP} windows"
        raise fields.refuse("stride", stride, expected)
    return WindowSettings("slide", crop, stride)


def parse_classes(config: Mapping[str, object], num_classes: int) -> list[str]:
    """The class names, at least one for each class that the head predicts; or `ConfigError`."""
    fields = Fields(config, "")
    names = _list_of_classes(fields, "CLASSES", num_classes)
    if not all(isinstance(name, str) for name in names):
        raise fields.refuse("CLASSES", names, "a list of names (str)")
    return names


def parse_palette(config: Mapping[str, object], num_classes: int) -> list[list[int]]:
    """The colours `[R, G, B]`, 0 to 255, of at least these classes; or `ConfigError`."""
    fields = Fields(config, "")
    colours = _list_of_classes(fields, "PALETTE", num_classes)
    return [
        [part.integer("PALETTE", low=0, high=255) for part in fields.parts("PALETTE", colour, 3)]
        for colour in colours
    ]


def _list_of_classes(fields: Fields, key: str, num_classes: int) -> list[Any]:
    """A list with an entry for each class, or more."""
    value = fields.take(key)
    if not isinstance(value, list | tuple) or len(value) < num_classes:
        expected = f"a list with an entry for each of the {num_classes} classes of decode_head"
        raise fields.refuse(key, value, expected)
    return list(value)


def find_test_pipeline(config: ConfigDict) -> object:
    """`data.test.pipeline`; where there is none, `test_pipeline` is put there."""
    place: Any = config
    for key in ("data", "test"):
        place = needed(place.setdefault(key, ConfigDict()))
        if not isinstance(place, dict):
            raise ConfigError(f"{key} in mmcv_config.py is {shown(place)}: expected dict(...)")
    return place.setdefault("pipeline", config.get("test_pipeline"))
