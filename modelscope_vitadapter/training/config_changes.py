"""The configuration of a model with other classes, or with windows of another size."""

import pprint
from collections.abc import Mapping, Sequence
from typing import Any

from modelscope_vitadapter.config.config_dict import ConfigDict, Unreadable
from modelscope_vitadapter.config.model_config import ModelConfig, parse_model_config
from modelscope_vitadapter.config.settings import WindowSettings
from modelscope_vitadapter.errors import ConfigError, TrainingError
from modelscope_vitadapter.images.drawing import default_palette
from modelscope_vitadapter.training.train_config import CROP, check


def changed_config(
    config: ModelConfig,
    *,
    classes: Sequence[str] | None = None,
    palette: Sequence[Sequence[int]] | None = None,
    crop: int | None = None,
) -> ModelConfig:
    """A model's configuration for other classes and another crop.

    Args:
        config: of the model that is changed.
        classes: names by id; None for the model's own.
        palette: `[R, G, B]` of each class, 0 to 255; None for the model's own or, for new classes,
            generated ones.
        crop: height and width in pixels of the windows; None for the model's own. Strides and what
            images are resized and padded to change by the same factor, so a window shows as much
            of an image as before.

    Returns:
        `config` itself where nothing is other than it says. Otherwise one of plain values, with all
        that is read of a configuration.

    Raises:
        TrainingError: class names are missing or given twice.
        ConfigError: there is not a colour for each class; or the model has no windows or oblong
            ones, so that the crop can't change.
        ValueError: the crop is no multiple of 32.
    """
    if crop is not None:
        check("crop", crop, CROP)
    own = list(config.classes)
    names = own if classes is None else list(classes)
    _check_names(names)
    windows, trained = config.settings.windows, config.settings.backbone
    keeps_crop = crop is None or windows.crop_size == trained.img_size == (crop, crop)
    if names == own and palette is None and keeps_crop:
        return config
    if palette is None:
        palette = config.palette[: len(own)] if names == own else default_palette(len(names))
    if len(palette) != len(names):
        raise ConfigError(
            f"the palette has {len(palette)} colours for {len(names)} classes: expected one each"
        )
    before = _plain(config.config)
    model, pipeline = before["model"], before["data"]["test"]["pipeline"]
    model["test_cfg"] = model.get("test_cfg") or before.get("test_cfg")
    _set_classes(model["decode_head"], len(names))
    if crop is not None:
        pipeline = _rescaled(pipeline, _set_crop(model, windows, crop))
    values = {"CLASSES": names, "PALETTE": [*map(list, palette)], "model": model}
    return parse_model_config(ConfigDict(values, data={"test": {"pipeline": pipeline}}))


def config_text(config: ModelConfig) -> str:
    """The text of an `mmcv_config.py` that says what `changed_config` gave: literals only."""
    lines = ['"""Written by modelscope-vitadapter for a model that was fine-tuned."""\n']
    for name, value in _plain(config.config).items():
        text = pprint.pformat(value, width=100, compact=True, sort_dicts=False)
        lines.append(f"{name} = {text}\n")
    return "\n".join(lines)


def _check_names(classes: Sequence[str]) -> None:
    if not classes:
        raise TrainingError("no class is given: expected the names of one class or more")
    doubled = sorted({name for name in classes if classes.count(name) > 1})
    if doubled:
        raise TrainingError(
            f"the class name {doubled[0]!r} is given {classes.count(doubled[0])} times: results "
            "are told apart by their names, expected each once"
        )


def _set_classes(head: dict[str, Any], count: int) -> None:
    """Makes a head's configuration one for another number of classes, in place."""
    head["num_things_classes"], head["num_stuff_classes"] = count, 0
    head.pop("num_classes", None)
    loss = head.get("loss_cls")
    weights = loss.get("class_weight") if isinstance(loss, dict) else None
    if isinstance(weights, list | tuple) and weights:  # that of "no object" is the last one
        head["loss_cls"]["class_weight"] = [1.0] * count + [weights[-1]]


def _set_crop(model: dict[str, Any], windows: WindowSettings, crop: int) -> float:
    """Makes a model's configuration one for another crop, in place; gives the factor of sizes."""
    size, strides = windows.crop_size, windows.stride
    if size is None or strides is None or size[0] != size[1]:
        raise ConfigError(
            f"the model has {'no' if size is None else 'oblong'} windows, so crop={crop} has no "
            "meaning: expected test_cfg=dict(mode='slide', crop_size=(N, N), stride=...). Set the "
            "size that is wanted in mmcv_config.py"
        )
    factor = crop / size[0]
    model["backbone"]["img_size"] = crop
    model["test_cfg"]["crop_size"] = (crop, crop)
    model["test_cfg"]["stride"] = tuple(max(round(stride * factor), 1) for stride in strides)
    return factor


def _rescaled(value: Any, factor: float, key: str = "") -> Any:
    """A part of a test pipeline, the value of a key, with other sizes of images."""
    if isinstance(value, dict):
        return {name: _rescaled(one, factor, name) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_rescaled(one, factor, key) for one in value)
    resized = key in ("img_scale", "size") and isinstance(value, int)
    return max(round(value * factor), 1) if resized else value


def _plain(value: Any) -> Any:
    """Dictionaries, lists and tuples copied as plain ones, without what could not be read."""
    if isinstance(value, Mapping):
        read = {key: one for key, one in value.items() if not isinstance(one, Unreadable)}
        return {str(key): _plain(one) for key, one in read.items()}
    if isinstance(value, list | tuple):
        kind = tuple if isinstance(value, tuple) else list
        return kind(_plain(one) for one in value if not isinstance(one, Unreadable))
    return value
