"""Everything that a model takes from its `mmcv_config.py`, read and checked at once."""

from dataclasses import dataclass
from pathlib import Path

from modelscope_vitadapter.config.config_dict import ConfigDict
from modelscope_vitadapter.config.model_settings import (
    find_input_transform,
    parse_classes,
    parse_model,
    parse_palette,
)
from modelscope_vitadapter.config.reader import execute_config, read_config
from modelscope_vitadapter.config.settings import ModelSettings
from modelscope_vitadapter.errors import ConfigError, UnreadableConfigError
from modelscope_vitadapter.images.transforms import InputTransform, parse_transform

CONFIG_FILE = "mmcv_config.py"


@dataclass(frozen=True)
class ModelConfig:
    """A configuration with what was read out of it.

    `classes` holds the names by class id, `palette` `[R, G, B]` of each class, 0 to 255,
    `transform` the test pipeline.
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
    num_classes = settings.head.num_classes
    return ModelConfig(
        config=config,
        settings=settings,
        classes=list(parse_classes(config, num_classes)),
        palette=parse_palette(config, num_classes),
        transform=parse_transform(find_input_transform(config)),
    )
