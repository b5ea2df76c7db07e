"""From the test pipeline of a configuration (mmdet 2.x) to the steps of each view."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelscope_vitadapter.errors import ConfigError
from modelscope_vitadapter.images.settings import TransformSettings
from modelscope_vitadapter.images.steps import (
    Flip,
    FlipDirection,
    Normalize,
    Pad,
    Resize,
    ResizeToMultiple,
    Step,
)
from modelscope_vitadapter.images.views import View
from modelscope_vitadapter.validation import shown

_LOADER_ARGUMENTS = ("to_float32", "color_type", "channel_order", "file_client_args")
_RESIZE_ARGUMENTS = (
    *("img_scale", "multiscale_mode", "ratio_range", "keep_ratio", "bbox_clip_border"),
    *("backend", "interpolation", "override"),
)
_FORMATTING = ("ImageToTensor", "DefaultFormatBundle", "Collect")
_DIRECTIONS: Mapping[str, FlipDirection] = {"horizontal": "horizontal", "vertical": "vertical"}
_INTERPOLATIONS = {
    "cv2": ("nearest", "bilinear", "bicubic", "area", "lanczos"),
    "pillow": ("nearest", "bilinear", "bicubic", "box", "lanczos", "hamming"),
}

MAX_FACTOR = 16
"""By how much a scale_factor may enlarge each side."""

MAX_VIEWS = 64
"""Scales times flips, each a whole pass; test-time augmentation has some 12."""

MAX_TRANSFORMS = 64
"""Transforms of a view."""

LEAST_STD = 1e-6
"""Smaller divisors make pixels that float32 doesn't hold."""

Scale = tuple[float, float] | float
"""Box `(height, width)` in pixels, or a factor of the image's size."""


@dataclass
class _ViewState:
    """What the transforms of one view are read against."""

    scale: Scale
    flip: FlipDirection | None
    resized: bool = False
    """Whether a `Resize` came before: mmdet lets a second one run with `override` only."""
    flipped: bool = False


def parse_views(pipeline: Sequence[Mapping[str, Any]]) -> tuple[tuple[View, ...], bool]:
    """Read a test pipeline; see `transforms.parse_transform`.

    Returns:
        The views, and whether images are turned to floats before anything else.

    Raises:
        ConfigError: A transform or an argument cannot be honoured.
    """
    if isinstance(pipeline, Mapping | str) or not isinstance(pipeline, Sequence):
        raise ConfigError(
            f"test pipeline: {shown(pipeline)} is no list of transforms. Write one in "
            "mmcv_config.py"
        )
    outer = [TransformSettings(config) for config in pipeline[:MAX_TRANSFORMS]]
    if [settings.type for settings in outer][1:] != ["MultiScaleFlipAug"]:
        raise ConfigError(
            "test pipeline: expected a loader and MultiScaleFlipAug, as the built-in pipeline "
            f"needs, but it consists of {shown([settings.type for settings in outer])}. Change it "
            "in mmcv_config.py"
        )
    loader, augmentation = outer
    loader.allow(_LOADER_ARGUMENTS)
    return _parse_augmentation(augmentation), loader.flag("to_float32", False)


def _parse_augmentation(settings: TransformSettings) -> tuple[View, ...]:
    settings.allow(("transforms", "img_scale", "scale_factor", "flip", "flip_direction"))
    transforms = settings.value("transforms")
    if not isinstance(transforms, list | tuple) or len(transforms) > MAX_TRANSFORMS:
        settings.refuse("transforms", f"a list of at most {MAX_TRANSFORMS} transforms")
    inner = [TransformSettings(config) for config in transforms]
    flips: list[FlipDirection | None] = [None, *_parse_flips(settings, inner)]
    scales = _parse_scales(settings)
    if len(scales) * len(flips) > MAX_VIEWS:
        raise ConfigError(
            f"test pipeline: MultiScaleFlipAug asks for {len(scales)} scales times {len(flips)} "
            f"flips, expected at most {MAX_VIEWS} in all. Remove some from mmcv_config.py"
        )
    return tuple(_parse_view(inner, _ViewState(scale, flip)) for scale in scales for flip in flips)


def _parse_scales(settings: TransformSettings) -> list[Scale]:
    boxes, factors = settings.value("img_scale"), settings.value("scale_factor")
    if (boxes is None) == (factors is None):
        raise ConfigError(
            "test pipeline: MultiScaleFlipAug needs either img_scale or scale_factor, got "
            f"img_scale={shown(boxes)} and scale_factor={shown(factors)}. Give one in "
            "mmcv_config.py"
        )
    scales: list[Scale]
    if boxes is not None:
        scales = [_parse_box(settings, "img_scale", box) for box in _as_boxes(boxes)]
    else:
        listed = factors if isinstance(factors, list | tuple) else [factors]
        scales = [settings.number("scale_factor", factor) for factor in listed]
    factors = [scale for scale in scales if not isinstance(scale, tuple)]
    if not scales or any(not 0 < factor <= MAX_FACTOR for factor in factors):
        name = "img_scale" if boxes is not None else "scale_factor"
        settings.refuse(name, f"positive numbers, factors of at most {MAX_FACTOR}")
    return scales


def _as_boxes(value: object) -> list[Any]:
    """Return a list of boxes; a single box may be spelt as a tuple or a list of two numbers."""
    if isinstance(value, list | tuple) and not all(isinstance(v, int | float) for v in value):
        return list(value)
    return [value]


def _parse_box(settings: TransformSettings, name: str, box: object) -> tuple[float, float]:
    """Turn a `(width, height)` of a configuration into `(height, width)`."""
    width, height = (settings.number(name, side) for side in settings.pair(name, box))
    if min(width, height) < 1:
        settings.refuse(name, "sides of at least 1 pixel")
    settings.area(name, height, width)
    return height, width


def _parse_flips(
    settings: TransformSettings, inner: Sequence[TransformSettings]
) -> list[FlipDirection]:
    if not settings.flag("flip", False):
        return []
    value = settings.value("flip_direction", "horizontal")
    directions = list(value) if isinstance(value, list | tuple) else [value]
    if any(not isinstance(d, str) or d not in _DIRECTIONS for d in directions):
        settings.refuse("flip_direction", "'horizontal' or 'vertical', which can be undone")
    if "RandomFlip" not in [transform.type for transform in inner]:
        settings.refuse("flip", "a RandomFlip among its transforms, or False")
    return [_DIRECTIONS[direction] for direction in directions]


def _parse_view(inner: Sequence[TransformSettings], state: _ViewState) -> View:
    steps: list[Step] = []
    for settings in inner:
        if settings.type in _FORMATTING:
            continue
        if settings.type not in _PARSERS:
            raise ConfigError(
                f"test pipeline: transform {settings.type[:100]} cannot be honoured, expected some "
                f"of {[*_PARSERS, *_FORMATTING]}. Remove it from mmcv_config.py, or use a model "
                "that was tested without it"
            )
        step = _PARSERS[settings.type](settings, state)
        if step is not None:
            steps.append(step)
    return View(steps=tuple(steps), flip=state.flip)


def _parse_resize(settings: TransformSettings, state: _ViewState) -> Step:
    settings.allow(_RESIZE_ARGUMENTS)
    keep_ratio = settings.flag("keep_ratio", True)
    backend = settings.choice("backend", "cv2", _INTERPOLATIONS)
    interpolation = settings.choice("interpolation", "bilinear", _INTERPOLATIONS[backend])
    scale = state.scale
    override = settings.flag("override", False)
    if state.resized and not override:
        raise ConfigError(
            "test pipeline: a second Resize needs override=True and an img_scale. Add them in "
            "mmcv_config.py, or remove it"
        )
    # mmdet's override drops a scale in pixels, also that of MultiScaleFlipAug; a factor of
    # MultiScaleFlipAug becomes one only by the first Resize.
    if override and (state.resized or isinstance(scale, tuple)):
        scale = _own_scale(settings)
    state.resized = True
    if isinstance(scale, tuple) and not keep_ratio and any(side != int(side) for side in scale):
        settings.refuse("keep_ratio", "True, since the scale is no whole number of pixels")
    return Resize(scale, keep_ratio, interpolation, backend)


def _own_scale(settings: TransformSettings) -> tuple[float, float]:
    boxes = _as_boxes(settings.value("img_scale"))
    if len(boxes) != 1:
        settings.refuse("img_scale", "a single scale: choosing among several is random")
    if settings.value("ratio_range") is not None:
        settings.refuse("ratio_range", "None: a random scale cannot be honoured")
    return _parse_box(settings, "img_scale", boxes[0])


def _parse_resize_to_multiple(settings: TransformSettings, state: _ViewState) -> Step:
    del state  # it depends on the image only
    settings.allow(("size_divisor", "interpolation"))
    value = settings.value("size_divisor", 32)
    sides = (
        settings.pair("size_divisor", value) if isinstance(value, list | tuple) else (value,) * 2
    )
    width, height = (settings.count("size_divisor", side) for side in sides)
    settings.area("size_divisor", height, width)
    interpolation = "bilinear"
    if settings.value("interpolation"):
        interpolation = settings.choice("interpolation", None, _INTERPOLATIONS["cv2"])
    return ResizeToMultiple((height, width), interpolation)


def _parse_flip(settings: TransformSettings, state: _ViewState) -> Step | None:
    # MultiScaleFlipAug decides, so probabilities and directions have no effect here.
    settings.allow(("flip_ratio", "prob", "direction"))
    if state.flipped:
        raise ConfigError(
            "test pipeline: a second RandomFlip would undo the first, expected one. Remove it from "
            "mmcv_config.py"
        )
    state.flipped = True
    return Flip(state.flip) if state.flip else None


def _parse_normalize(settings: TransformSettings, state: _ViewState) -> Step:
    del state  # the same for all views
    settings.allow(("mean", "std", "to_rgb"))
    std = settings.triple("std")
    if any(abs(part) < LEAST_STD for part in std):
        settings.refuse("std", f"numbers other than 0, of at least {LEAST_STD:g}")
    return Normalize(settings.triple("mean"), std, settings.flag("to_rgb", True))


def _parse_pad(settings: TransformSettings, state: _ViewState) -> Step:
    del state  # it depends on the image only
    settings.allow(("size", "size_divisor", "pad_to_square", "pad_val"))
    size, divisor = settings.value("size"), settings.value("size_divisor")
    square = settings.flag("pad_to_square", False)
    if [size is not None, divisor is not None, square].count(True) != 1:
        raise ConfigError(
            f"test pipeline: Pad has size={shown(size)}, size_divisor={shown(divisor)}, "
            f"pad_to_square={square}, expected exactly one of them. Change it in mmcv_config.py"
        )
    value = settings.value("pad_val", 0)
    if isinstance(value, Mapping):
        value = value.get("img", 0)
    if isinstance(value, list | tuple):
        channels = [settings.number("pad_val", part) for part in value]
        if len(channels) != 3:
            settings.refuse("pad_val", "one number or three, one per channel")
        value = (channels[0], channels[1], channels[2])
    else:
        value = settings.number("pad_val", value)
    if divisor is not None:
        count = settings.count("size_divisor", divisor)
        settings.area("size_divisor", count, count)
        return Pad(divisor=count, value=value)
    if square:
        return Pad(square=True, value=value)
    height, width = (settings.count("size", side) for side in settings.pair("size", size))
    settings.area("size", height, width)
    return Pad(size=(height, width), value=value)


_PARSERS: Mapping[str, Callable[[TransformSettings, _ViewState], Step | None]] = {
    "Resize": _parse_resize,
    "ResizeToMultiple": _parse_resize_to_multiple,
    "RandomFlip": _parse_flip,
    "Normalize": _parse_normalize,
    "Pad": _parse_pad,
}
