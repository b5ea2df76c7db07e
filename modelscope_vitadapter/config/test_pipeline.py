"""The test pipeline of a configuration (mmdet 2.x): how an image becomes the network's input.

Here are the steps as data and the parser; `images.transforms` applies them. A further transform
needs a dataclass, a function in `_PARSERS`, and a function there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from modelscope_vitadapter.config.fields import Fields
from modelscope_vitadapter.config.unreadable import needed
from modelscope_vitadapter.errors import ConfigError
from modelscope_vitadapter.validation import shown

MAX_AREA = 2**26
"""Pixels that the transforms may make of a smaller image: 8192 x 8192."""

MAX_VIEWS = 64
"""Scales times flips, each a whole pass (test-time augmentation has some 12), and transforms."""

LEAST_STD, LARGEST = 1e-6, 1e12
"""Standard deviations outside make values that float32 doesn't hold."""

Size = tuple[int, int]
"""`(height, width)` in pixels."""

FlipDirection = Literal["horizontal", "vertical"]

_FORMATTING = ("ImageToTensor", "DefaultFormatBundle", "Collect")

_FIXED = {
    "to_float32": False,
    "scale_factor": None,
    "ratio_range": None,  # of it one would be drawn at random
    "override": False,
    "backend": "cv2",
    "interpolation": "bilinear",
    "pad_to_square": False,
}
"""Arguments of which one value is honoured."""

_WITHOUT_EFFECT = (
    *("color_type", "channel_order", "file_client_args", "imdecode_backend"),  # of loaders
    *("multiscale_mode", "bbox_clip_border"),  # of training, of detection
    *("flip_ratio", "prob", "direction"),  # of RandomFlip: MultiScaleFlipAug decides
)


@dataclass(frozen=True)
class Resize:
    """mmdet's `Resize`, bilinear."""

    scale: Size
    """Box `(height, width)` in pixels that bounds the result, either way up with `keep_ratio`."""
    keep_ratio: bool = True
    """Whether the aspect ratio stays; else the result is as large as the box."""


@dataclass(frozen=True)
class ResizeToMultiple:
    """ModelScope's `ResizeToMultiple`, bilinear: both sides up to the next multiple."""

    divisor: Size = (32, 32)
    """Divisors of height and width."""


@dataclass(frozen=True)
class Flip:
    """mmdet's `RandomFlip`, once its direction is known."""

    direction: FlipDirection


@dataclass(frozen=True)
class Normalize:
    """mmdet's `Normalize`: minus mean, over standard deviation."""

    mean: tuple[float, float, float]
    """Per channel, in the channel order of the result, for values in 0..255."""
    std: tuple[float, float, float]
    """Per channel, as `mean`; never 0."""
    to_rgb: bool = True
    """Whether BGR becomes RGB first."""


@dataclass(frozen=True)
class Pad:
    """mmdet's `Pad`: a constant border below and to the right.

    The built-in model resizes the scores of the padded image to the original size and does not cut
    the border off; nothing about the padding has to be known after this step.
    """

    size: Size = (1, 1)
    """Least `(height, width)` of the result."""
    divisor: int = 1
    """Both sides become multiples of it."""
    value: float | tuple[float, float, float] = 0.0
    """Value of the border per channel. OpenCV takes a single number for the first channel and 0
    for the others, as the built-in pipeline does."""


Step = Resize | ResizeToMultiple | Flip | Normalize | Pad


def output_size(step: Step, size: Size) -> Size:
    """The `(height, width)` that a step makes of an image, without computing it.

    With `keep_ratio` it is that of `mmcv.rescale_size`, but each side has at least one pixel.
    """
    if isinstance(step, Resize):
        if not step.keep_ratio:
            return step.scale
        factor = min(max(step.scale) / max(size), min(step.scale) / min(size))
        return max(int(size[0] * factor + 0.5), 1), max(int(size[1] * factor + 0.5), 1)
    if isinstance(step, ResizeToMultiple):
        return _round_up(size, step.divisor)
    if isinstance(step, Pad):
        least = max(step.size[0], size[0]), max(step.size[1], size[1])
        return _round_up(least, (step.divisor, step.divisor))
    return size


def _round_up(size: Size, divisor: Size) -> Size:
    return -(-size[0] // divisor[0]) * divisor[0], -(-size[1] // divisor[1]) * divisor[1]


@dataclass(frozen=True)
class View:
    """The steps from an image to one input of the network."""

    steps: tuple[Step, ...]
    flip: FlipDirection | None = None
    """How the result is mirrored; the mirroring itself is one of the steps."""

    def output_size(self, size: Size) -> Size:
        """The `(height, width)` of the result, without computing it."""
        for step in self.steps:
            size = output_size(step, size)
        return size


@dataclass(frozen=True)
class InputTransform:
    """The test pipeline of a model: one view, or several for test-time augmentation."""

    views: tuple[View, ...]
    """In the order of mmdet's `MultiScaleFlipAug`: scales outside, flips inside, unflipped
    first."""


def parse_test_pipeline(pipeline: object) -> InputTransform:
    """Reads a test pipeline, `data.test.pipeline` of a model's configuration.

    Expected is what the built-in pipeline of ModelScope runs: a loader (its type is irrelevant,
    since the image is at hand), then `MultiScaleFlipAug` around `Resize`, `ResizeToMultiple`,
    `RandomFlip`, `Normalize` and `Pad` in any order; `ImageToTensor`, `DefaultFormatBundle` and
    `Collect` only format and have no effect.

    Args:
        pipeline: a list of dicts, each with a `type` and its arguments.

    Returns:
        The transform, with a view for each scale and flip.

    Raises:
        ConfigError: a transform or an argument can't be honoured; both are named.
    """
    outer = [_transform(config) for config in _transforms(pipeline)]
    kinds = [kind for kind, _ in outer]
    if kinds[1:] != ["MultiScaleFlipAug"]:
        raise ConfigError(
            "test pipeline: expected a loader and MultiScaleFlipAug, as the built-in pipeline "
            f"needs, but it consists of {shown(kinds)}. Change it in mmcv_config.py"
        )
    (_, loader), (_, fields) = outer
    loader.finish()
    transforms = _transforms(fields.take("transforms"))
    scales, flips = _parse_scales(fields), [None, *_parse_flips(fields)]
    fields.finish()
    if len(scales) * len(flips) > MAX_VIEWS:
        raise ConfigError(
            f"test pipeline: MultiScaleFlipAug asks for {len(scales)} scales times {len(flips)} "
            f"flips, expected at most {MAX_VIEWS} in all. Remove some from mmcv_config.py"
        )
    return InputTransform(
        tuple(_parse_view(transforms, scale, flip) for scale in scales for flip in flips)
    )


def _transforms(value: Any) -> list[object]:
    if not isinstance(needed(value), list | tuple) or len(value) > MAX_VIEWS:
        raise ConfigError(
            f"test pipeline: {shown(value)} is no list of at most {MAX_VIEWS} transforms. Write "
            "one in mmcv_config.py"
        )
    return list(value)


def _transform(config: object) -> tuple[str, Fields]:
    """The type and the arguments of a transform; errors name the type."""
    fields = Fields(config, "test pipeline: a transform")
    for value in config.values() if isinstance(config, Mapping) else ():
        for part in value if isinstance(value, list | tuple) else ():
            needed(part)
    kind = fields.take("type")
    if not isinstance(kind, str):
        raise fields.refuse("type", kind, "the name of a transform")
    kind = kind.removeprefix("mmdet.")
    fields.path = f"test pipeline: {kind[:100]}"
    fields.skip(*_WITHOUT_EFFECT)
    for key, fixed in _FIXED.items():
        fields.only(key, fixed, default=fixed)
    return kind, fields


def _parse_scales(fields: Fields) -> list[Size | None]:
    """The boxes `(height, width)` of `img_scale`; None: each `Resize` has its own."""
    value = fields.take("img_scale", None)
    if value is None:
        return [None]
    several = isinstance(value, list | tuple) and value and isinstance(value[0], list | tuple)
    boxes = value if several else [value]
    return [_sides(fields, "img_scale", box)[::-1] for box in boxes]  # of (width, height)


def _parse_flips(fields: Fields) -> list[FlipDirection]:
    if not fields.boolean("flip", False):
        fields.skip("flip_direction")
        return []
    value = fields.take("flip_direction", "horizontal")
    flips = list(value) if isinstance(value, list | tuple) else [value]
    if not flips or any(flip not in ("horizontal", "vertical") for flip in flips):
        expected = "'horizontal' or 'vertical', which can be undone"
        raise fields.refuse("flip_direction", value, expected)
    return flips


def _parse_view(transforms: list[object], scale: Size | None, flip: FlipDirection | None) -> View:
    steps: list[Step] = []
    kinds = []
    for config in transforms:
        kind, fields = _transform(config)
        if kind in _FORMATTING:
            continue
        if kind in kinds and kind in ("Resize", "RandomFlip"):
            raise fields.refuse("type", kind, "no more than one of it")
        kinds.append(kind)
        if kind == "RandomFlip":
            steps += [] if flip is None else [Flip(flip)]
        elif kind in _PARSERS:
            steps.append(_PARSERS[kind](fields, scale))
        else:
            known = ", ".join([*_PARSERS, "RandomFlip", *_FORMATTING])
            raise fields.refuse("type", kind, f"some of {known}")
        fields.finish()
    view = View(tuple(steps), flip)
    if flip is not None and "RandomFlip" not in kinds:
        raise ConfigError(
            "test pipeline: MultiScaleFlipAug has flip=True, but none of its transforms is a "
            "RandomFlip. Add one in mmcv_config.py, or set flip=False"
        )
    for size in [(1, 1), *(step.scale for step in steps if isinstance(step, Resize))]:
        height, width = view.output_size(size)
        if height * width > MAX_AREA:
            raise ConfigError(
                f"test pipeline: it makes {height} x {width} pixels of {size[0]} x {size[1]}, "
                f"expected at most {MAX_AREA} pixels. Lower the sizes in mmcv_config.py"
            )
    return view


def _parse_resize(fields: Fields, scale: Size | None) -> Step:
    own = fields.take("img_scale", None)
    if scale is None:  # mmdet passes over its own box where MultiScaleFlipAug has one
        scale = _sides(fields, "img_scale", own)[::-1]
    return Resize(scale, fields.boolean("keep_ratio", True))


def _parse_resize_to_multiple(fields: Fields, scale: Size | None) -> Step:
    value = fields.take("size_divisor", 32)
    return ResizeToMultiple(_sides(fields, "size_divisor", value, single=True)[::-1])


def _parse_normalize(fields: Fields, scale: Size | None) -> Step:
    mean, std = (_channels(fields, key, fields.take(key)) for key in ("mean", "std"))
    if min(map(abs, std)) < LEAST_STD:
        raise fields.refuse("std", std, f"numbers other than 0, of at least {LEAST_STD:g}")
    return Normalize(mean, std, fields.boolean("to_rgb", True))


def _parse_pad(fields: Fields, scale: Size | None) -> Step:
    value = fields.take("pad_val", 0)
    if isinstance(value, Mapping):
        value = value.get("img", 0)
    if isinstance(value, list | tuple):
        value = _channels(fields, "pad_val", value)
    else:
        value = _channels(fields, "pad_val", [value] * 3)[0]
    size, divisor = fields.take("size", None), fields.take("size_divisor", None)
    if (size is None) == (divisor is None):
        raise fields.refuse("size", size, "either a size or a size_divisor")
    if size is None:
        return Pad(divisor=_sides(fields, "size_divisor", divisor, single=True)[0], value=value)
    return Pad(size=_sides(fields, "size", size), value=value)  # (height, width) already


_PARSERS: Mapping[str, Callable[[Fields, Size | None], Step]] = {
    "Resize": _parse_resize,
    "ResizeToMultiple": _parse_resize_to_multiple,
    "Normalize": _parse_normalize,
    "Pad": _parse_pad,
}
"""Each takes the arguments of a transform, and the box of the view or None."""


def _sides(fields: Fields, key: str, value: object, *, single: bool = False) -> tuple[int, int]:
    """Two sides in pixels, in their order; `single`: or one number for both."""
    sides: list[Any] = (
        list(value) if isinstance(value, list | tuple) else [value] * 2 if single else []
    )
    if len(sides) != 2 or any(type(side) is not int or not 1 <= side <= 2**16 for side in sides):
        raise fields.refuse(key, value, "two whole numbers from 1 to 65536")
    return sides[0], sides[1]


def _channels(fields: Fields, key: str, value: object) -> tuple[float, float, float]:
    """Three numbers, one for each channel."""
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise fields.refuse(key, value, "three numbers, one for each channel")
    first, second, third = (
        Fields({key: part}, fields.path).number(key, low=-LARGEST, high=LARGEST) for part in value
    )
    return first, second, third
