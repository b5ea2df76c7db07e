"""The configuration of a model with windows of another size."""

import copy
from collections.abc import Mapping
from typing import Any

from modelscope_vitadapter.config.settings import WindowSettings
from modelscope_vitadapter.errors import ConfigError
from modelscope_vitadapter.network.segmentor import SIZE_DIVISOR


def check_crop(crop: int) -> None:
    """Refuses sizes that no window can have.

    Raises:
        ValueError: `crop` is no positive multiple of the coarsest feature map's cells.
    """
    whole = isinstance(crop, int) and not isinstance(crop, bool)
    if not whole or crop < SIZE_DIVISOR or crop % SIZE_DIVISOR:
        raise ValueError(
            f"crop is {crop!r}: expected a multiple of {SIZE_DIVISOR} pixels, such as 512"
        )


def config_for_crop(
    config: Mapping[str, Any], windows: WindowSettings, crop: int
) -> dict[str, Any]:
    """A configuration of the same network for square windows of another size.

    Strides and what pictures are resized and padded to change by the same factor, so a window
    shows as much of a picture as before, with fewer pixels or more.

    Args:
        config: plain values with `model` and `data.test.pipeline`, as `config_for_classes` gives.
        windows: what that configuration says of windows.
        crop: height and width of the new ones in pixels, see `check_crop`.

    Raises:
        ConfigError: the model has no windows, oblong ones, or an embedding for each place.
    """
    side, strides = windows.crop_size, windows.stride
    if side is None or strides is None or side[0] != side[1]:
        raise ConfigError(
            f"the model has {'no' if side is None else 'oblong'} windows, so crop={crop} has no "
            "meaning: expected test_cfg=dict(mode='slide', crop_size=(N, N), stride=...). Set the "
            "size that is wanted in mmcv_config.py"
        )
    changed: dict[str, Any] = copy.deepcopy(dict(config))
    model = changed["model"]
    if model["backbone"].get("use_abs_pos_emb"):
        raise ConfigError(
            f"the backbone has use_abs_pos_emb=True, so crop={crop} can't be had: absolute "
            "position embeddings are not resized. Leave the crop as it is"
        )
    factor = crop / side[0]
    model["backbone"]["img_size"] = crop
    model["test_cfg"]["crop_size"] = (crop, crop)
    model["test_cfg"]["stride"] = tuple(max(round(stride * factor), 1) for stride in strides)
    pipeline = changed["data"]["test"]["pipeline"]
    changed["data"]["test"]["pipeline"] = [_rescaled(step, factor) for step in pipeline]
    return changed


def _rescaled(step: Any, factor: float) -> Any:
    """A step of a test pipeline, and the steps in it, with other sizes of pictures."""
    if not isinstance(step, dict):
        return step
    changed = dict(step)
    for name, whole in (("img_scale", True), ("size", True), ("scale_factor", False)):
        if changed.get(name) is not None:
            changed[name] = _scaled(changed[name], factor, whole=whole)
    if isinstance(changed.get("transforms"), (list, tuple)):
        changed["transforms"] = [_rescaled(inner, factor) for inner in changed["transforms"]]
    return changed


def _scaled(sizes: Any, factor: float, *, whole: bool) -> Any:
    if isinstance(sizes, (list, tuple)):
        return type(sizes)(_scaled(one, factor, whole=whole) for one in sizes)
    return max(round(sizes * factor), 1) if whole else sizes * factor
