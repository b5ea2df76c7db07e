"""The test pipeline of a configuration (mmdet 2.x): how an image becomes the network's input.

Here are the steps as data and the parser; `images.transforms` applies them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from modelscope_vitadapter.config.config_dict import needed
from modelscope_vitadapter.config.fields import Fields
from modelscope_vitadapter.config.settings import Size
from modelscope_vitadapter.errors import ConfigError
from modelscope_vitadapter.validation import shown

MAX_AREA = 2**26  # pixels that the transforms may make of a smaller image: 8192 x 8192
MAX_VIEWS = 64  # scales times flips (test-time augmentation has some 12), and transforms
LEAST_STD, LARGEST = 1e-6, 1e12  # standard deviations outside make values beyond float32

FlipDirection = Literal["horizontal", "vertical"]

_FORMATTING = ("ImageToTensor", "DefaultFormatBundle", "Collect")
_KNOWN = ("Resize", "ResizeToMultiple", "RandomFlip", "Normalize", "Pad", *_FORMATTING)

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
    """mmdet's `Resize`, bilinear: into a box, either way up, or else to just its size."""

    scale: Size
    keep_ratio: bool = True


@dataclass(frozen=True)
class ResizeToMultiple:
    """ModelScope's `ResizeToMultiple`, bilinear: height and width up to the next multiples."""

    divisor: Size = (32, 32)


@dataclass(frozen=True)
class Flip:
    """mmdet's `RandomFlip`, once its direction is known."""

    direction: FlipDirection


@dataclass(frozen=True)
class Normalize:
    """mmdet's `Normalize`: minus mean, over standard deviation, of each of three channels."""

    mean: tuple[float, ...]  # in the channel order of the result, for values in 0..255
    std: tuple[float, ...]  # as `mean`; never 0
    to_rgb: bool = True  # whether BGR becomes RGB first


@dataclass(frozen=True)
class Pad:
    """mmdet's `Pad`: a constant border below and to the right.

    The built-in model does not cut it off: scores of the padded image become the original's.
    """

    size: Size = (1, 1)  # least `(height, width)` of the result
    divisor: int = 1  # both sides become multiples of it
    value: float | tuple[float, ...] = 0.0
    """Of the border; a single number is the first channel's, as for OpenCV, and others are 0."""


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
    least, divisor = (1, 1), (1, 1)
    if isinstance(step, ResizeToMultiple):
        divisor = step.divisor
    elif isinstance(step, Pad):
        least, divisor = step.size, (step.divisor, step.divisor)
    height, width = max(least[0], size[0]), max(least[1], size[1])
    return -(-height // divisor[0]) * divisor[0], -(-width // divisor[1]) * divisor[1]


@dataclass(frozen=True)
class View:
    """The steps from an image to one input of the network."""

    steps: tuple[Step, ...]
    flip: FlipDirection | None = None  # how the result is mirrored, which is one of the steps

    def output_size(self, size: Size) -> Size:
        """The `(height, width)` of the result, without computing it."""
        for step in self.steps:
            size = output_size(step, size)
        return size


@dataclass(frozen=True)
class InputTransform:
    """The test pipeline of a model: one view, or several for test-time augmentation.

    Scales are outside, flips inside, unflipped first, as mmdet's `MultiScaleFlipAug` has them.
    """

    views: tuple[View, ...]


def parse_test_pipeline(pipeline: object) -> InputTransform:
    """Reads a test pipeline, `data.test.pipeline` of a model's configuration.

    Expected is what the built-in pipeline of ModelScope runs: a loader (its type is irrelevant,
    since the image is at hand), then `MultiScaleFlipAug` around `Resize`, `ResizeToMultiple`,
    `RandomFlip`, `Normalize` and `Pad` in any order, and steps that only format.

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
        raise fields.refuse("img_scale", scales, f"at most {MAX_VIEWS} scales times flips")
    return InputTransform(
        tuple(_parse_view(transforms, scale, flip) for scale in scales for flip in flips)
    )


def _transforms(value: Any) -> list[object]:
    if not isinstance(needed(value), list | tuple) or len(value) > MAX_VIEWS:
        raise ConfigError(
            f"test pipeline: {shown(value)} is no list of at most {MAX_VIEWS} transforms. Write "
            "one as data.test.pipeline in mmcv_config.py"
        )
    return list(value)


def _transform(config: object) -> tuple[str, Fields]:
    """The type and the arguments of a transform; errors name the type."""
    fields = Fields(config, "test pipeline: a transform")
    kind = str(fields.take("type")).removeprefix("mmdet.")
    fields.path = f"test pipeline: {kind[:100]}"
    fields.skip(*_WITHOUT_EFFECT)
    fields.fixed(**_FIXED)
    return kind, fields


def _parse_scales(fields: Fields) -> list[Size | None]:
    """The boxes `(height, width)` of `img_scale`; None: each `Resize` has its own."""
    value = fields.take("img_scale", None)
    if value is None:
        return [None]
    several = isinstance(value, list | tuple) and value and isinstance(value[0], list | tuple)
    boxes = value if several else [value]
    return [fields.pair("img_scale", box)[::-1] for box in boxes]  # of (width, height)


def _parse_flips(fields: Fields) -> list[FlipDirection]:
    if not fields.boolean("flip", False):
        fields.skip("flip_direction")
        return []
    value = fields.take("flip_direction", "horizontal")
    flips = list(value) if isinstance(value, list | tuple) else [value]
    if not flips or any(flip not in ("horizontal", "vertical") for flip in flips):
        raise fields.refuse("flip_direction", value, "'horizontal' or 'vertical'")
    return flips


def _parse_view(transforms: list[object], scale: Size | None, flip: FlipDirection | None) -> View:
    steps: list[Step] = []
    kinds: list[str] = []
    for config in transforms:
        kind, fields = _transform(config)
        if kind in _FORMATTING:
            continue
        if kind in kinds and kind in ("Resize", "RandomFlip"):
            raise fields.refuse("type", kind, "no more than one of it")
        kinds.append(kind)
        step = _parse_step(kind, fields, scale, flip)
        fields.finish()
        steps += [] if step is None else [step]
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


def _parse_step(
    kind: str, fields: Fields, scale: Size | None, flip: FlipDirection | None
) -> Step | None:
    """The step that a transform is in a view of this scale and flip."""
    match kind:
        case "Resize":
            own = fields.take("img_scale", None)  # mmdet passes over it where there is a scale
            box = scale or fields.pair("img_scale", own)[::-1]
            return Resize(box, fields.boolean("keep_ratio", True))
        case "ResizeToMultiple":
            return ResizeToMultiple(fields.size("size_divisor", 32)[::-1])
        case "RandomFlip":
            return None if flip is None else Flip(flip)
        case "Normalize":
            mean, std = (_channels(fields, key, fields.take(key)) for key in ("mean", "std"))
            if min(map(abs, std)) < LEAST_STD:
                raise fields.refuse("std", std, f"numbers other than 0, of at least {LEAST_STD:g}")
            return Normalize(mean, std, fields.boolean("to_rgb", True))
        case "Pad":
            return _parse_pad(fields)
    raise fields.refuse("type", kind, f"some of {', '.join(_KNOWN)}")


def _parse_pad(fields: Fields) -> Pad:
    value, size = fields.take("pad_val", 0), fields.take("size", None)
    if isinstance(value, Mapping):
        value = value.get("img", 0)
    several = isinstance(value, list | tuple)
    channels = _channels(fields, "pad_val", value if several else [value] * 3)
    value = channels if several else channels[0]
    if size is None:
        return Pad(divisor=fields.integer("size_divisor"), value=value)
    fields.fixed(size_divisor=None)
    return Pad(size=fields.pair("size", size), value=value)  # (height, width) already


def _channels(fields: Fields, key: str, value: object) -> tuple[float, ...]:
    """Three numbers, one for each channel."""
    parts = fields.parts(key, value, 3)
    return tuple(part.number(key, low=-LARGEST, high=LARGEST) for part in parts)
