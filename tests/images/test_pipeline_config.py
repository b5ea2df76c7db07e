import pytest
from addict import Dict as AddictDict

from modelscope_vitadapter.errors import ConfigError
from modelscope_vitadapter.images.steps import Normalize, Pad, Resize, ResizeToMultiple
from modelscope_vitadapter.images.transforms import parse_transform

RESIZE = {"type": "Resize", "keep_ratio": True}
FLIP = {"type": "RandomFlip"}
NORM = {"type": "Normalize", "mean": (1, 2, 3), "std": (4, 5, 6)}


def pipeline(*transforms, load=None, **augmentation):
    augmentation.setdefault("img_scale", (40, 20))
    augmentation = {key: value for key, value in augmentation.items() if value is not ...}
    return [
        load or {"type": "LoadImageFromFile"},
        {"type": "MultiScaleFlipAug", "transforms": list(transforms), **augmentation},
    ]


def steps(*transforms, **augmentation):
    views = parse_transform(pipeline(*transforms, **augmentation)).views
    return [view.steps for view in views]


@pytest.mark.parametrize(
    ("transform", "step"),
    [
        (RESIZE, Resize((20, 40))),
        ({"type": "mmdet.Resize"}, Resize((20, 40))),
        ({**RESIZE, "keep_ratio": False}, Resize((20, 40), keep_ratio=False)),
        ({**RESIZE, "interpolation": "area"}, Resize((20, 40), interpolation="area")),
        (
            {**RESIZE, "backend": "pillow", "interpolation": "box"},
            Resize((20, 40), interpolation="box", backend="pillow"),
        ),
        ({**RESIZE, "bbox_clip_border": False}, Resize((20, 40))),
        ({**RESIZE, "img_scale": (9, 8), "override": True}, Resize((8, 9))),
        ({**RESIZE, "img_scale": [(9, 8)], "override": True}, Resize((8, 9))),
        ({**RESIZE, "img_scale": [(9, 8), (7, 6)]}, Resize((20, 40))),
        ({**RESIZE, "ratio_range": (0.5, 2.0), "img_scale": (9, 8)}, Resize((20, 40))),
        ({"type": "ResizeToMultiple"}, ResizeToMultiple((32, 32))),
        ({"type": "ResizeToMultiple", "size_divisor": (8, 16)}, ResizeToMultiple((16, 8))),
        ({"type": "ResizeToMultiple", "interpolation": None}, ResizeToMultiple()),
        (
            {"type": "ResizeToMultiple", "interpolation": "nearest"},
            ResizeToMultiple(interpolation="nearest"),
        ),
        (NORM, Normalize((1, 2, 3), (4, 5, 6))),
        ({**NORM, "to_rgb": False}, Normalize((1, 2, 3), (4, 5, 6), to_rgb=False)),
        ({"type": "Pad", "size": (8, 9)}, Pad(size=(8, 9))),
        ({"type": "Pad", "size": [8, 9]}, Pad(size=(8, 9))),
        ({"type": "Pad", "size_divisor": 32, "pad_val": 7}, Pad(divisor=32, value=7)),
        ({"type": "Pad", "size_divisor": 32, "pad_val": {"seg": 255}}, Pad(divisor=32)),
        (
            {"type": "Pad", "pad_to_square": True, "pad_val": {"img": [1, 2, 3]}},
            Pad(square=True, value=(1, 2, 3)),
        ),
    ],
)
def test_transforms_are_read(transform, step):
    assert steps(transform) == [(step,)]
    assert steps(AddictDict(transform)) == [(step,)]


@pytest.mark.parametrize(
    "transform",
    [
        {"type": "ImageToTensor", "keys": ["img"]},
        {"type": "DefaultFormatBundle"},
        {"type": "Collect", "keys": ["img"], "meta_keys": ("flip",)},
        FLIP,
        {**FLIP, "flip_ratio": 0.5, "direction": "diagonal"},
    ],
)
def test_transforms_without_effect(transform):
    assert steps(transform) == [()]


@pytest.mark.parametrize(
    ("augmentation", "scales"),
    [
        ({"img_scale": (40, 20)}, [(20, 40)]),
        ({"img_scale": [40, 20]}, [(20, 40)]),
        ({"img_scale": [(40, 20), (4, 2)]}, [(20, 40), (2, 4)]),
        ({"img_scale": [[40, 20], [4, 2]]}, [(20, 40), (2, 4)]),
        ({"img_scale": (40.5, 20)}, [(20, 40.5)]),
        ({"img_scale": ..., "scale_factor": 0.5}, [0.5]),
        ({"img_scale": None, "scale_factor": [0.5, 2]}, [0.5, 2]),
    ],
)
def test_scales_are_read(augmentation, scales):
    assert steps(RESIZE, **augmentation) == [(Resize(scale),) for scale in scales]


def test_a_factor_stays_for_the_first_resize_despite_override():
    override = {**RESIZE, "override": True, "img_scale": (9, 8)}
    assert steps(override, override, img_scale=..., scale_factor=2.0) == [
        (Resize(2.0), Resize((8, 9)))
    ]


@pytest.mark.parametrize(
    ("direction", "flips"),
    [
        ("vertical", [None, "vertical"]),
        (["vertical", "horizontal"], [None, "vertical", "horizontal"]),
        (("horizontal",), [None, "horizontal"]),
        (..., [None, "horizontal"]),
    ],
)
def test_flips_are_read(direction, flips):
    config = pipeline(FLIP, flip=True, flip_direction=direction, img_scale=[(4, 2), (8, 4)])
    assert [view.flip for view in parse_transform(config).views] == flips * 2


def test_no_flip_no_direction():
    config = pipeline(FLIP, flip=False, flip_direction="diagonal")
    assert [view.flip for view in parse_transform(config).views] == [None]


@pytest.mark.parametrize(
    ("load", "to_float32"),
    [
        ({"type": "LoadImageFromFile"}, False),
        ({"type": "LoadImageFromWebcam", "to_float32": True}, True),
        ({"type": "AnyLoader", "color_type": "color", "channel_order": "rgb"}, False),
        ({"type": "LoadImageFromFile", "file_client_args": {"backend": "disk"}}, False),
    ],
)
def test_the_loaders_type_is_irrelevant(load, to_float32):
    assert parse_transform(pipeline(load=load)).to_float32 is to_float32


AUG = {"type": "MultiScaleFlipAug", "img_scale": (4, 2), "transforms": []}
LOAD = {"type": "LoadImageFromFile"}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ([], "expected a loader and MultiScaleFlipAug"),
        ([LOAD], "LoadImageFromFile"),
        ([AUG], "expected a loader"),
        ([LOAD, RESIZE, NORM], r"\['LoadImageFromFile', 'Resize', 'Normalize'\]"),
        ([LOAD, RESIZE, AUG], "expected a loader"),
        ([LOAD, AUG, NORM], "expected a loader"),
        (LOAD, "no list of transforms"),
        ("Resize", "no list of transforms"),
        (None, "no list of transforms"),
        ([LOAD, "Resize"], "'Resize' is no transform"),
        ([{"to_float32": True}, AUG], "is no transform"),
        ([{**LOAD, "imdecode_backend": "cv2"}, AUG], r"LoadImageFromFile.*imdecode_backend"),
        ([{**LOAD, "to_float32": 1}, AUG], "to_float32=1, expected True or False"),
        ([LOAD, {**AUG, "img_ratios": [1.0]}], r"MultiScaleFlipAug.*img_ratios"),
        ([LOAD, {**AUG, "transforms": None}], "transforms=None"),
        ([LOAD, {**AUG, "scale_factor": 1.0}], "either img_scale or scale_factor"),
    ],
)
def test_pipelines_of_another_form_are_refused(config, words):
    with pytest.raises(ConfigError, match=words):
        parse_transform(config)


@pytest.mark.parametrize(
    ("augmentation", "words"),
    [
        ({"img_scale": ...}, "either img_scale or scale_factor"),
        ({"img_scale": []}, "img_scale="),
        ({"img_scale": 40}, "two numbers"),
        ({"img_scale": [(40, 20, 3)]}, "two numbers"),
        ({"img_scale": (40, -1)}, "at least 1 pixel"),
        ({"img_scale": (40, float("inf"))}, "finite numbers"),
        ({"img_scale": [("40", 20)]}, "finite numbers"),
        ({"img_scale": None, "scale_factor": 0}, "scale_factor=0"),
        ({"img_scale": None, "scale_factor": []}, "scale_factor="),
        ({"img_scale": None, "scale_factor": "half"}, "finite numbers"),
        ({"img_scale": None, "scale_factor": True}, "finite numbers"),
        ({"flip": True, "flip_direction": "diagonal"}, "flip_direction='diagonal'"),
        ({"flip": True, "flip_direction": ["horizontal", 3]}, "flip_direction"),
        ({"flip": 1}, "flip=1"),
    ],
)
def test_augmentations_that_cannot_be_honoured_are_refused(augmentation, words):
    with pytest.raises(ConfigError, match=words) as caught:
        parse_transform(pipeline(RESIZE, FLIP, **augmentation))
    assert len(caught.value.args) == 1


def test_a_flip_without_its_transform_is_refused():
    with pytest.raises(ConfigError, match="flip=True, expected a RandomFlip"):
        parse_transform(pipeline(RESIZE, flip=True))


@pytest.mark.parametrize(
    ("transforms", "words"),
    [
        ([{"type": "PhotoMetricDistortion"}], "PhotoMetricDistortion cannot be honoured"),
        ([{"type": "RandomCrop", "crop_size": (3, 3)}], "RandomCrop cannot be honoured"),
        ([{"type": "Transpose", "keys": ["img"]}], "Transpose cannot be honoured"),
        ([{"keep_ratio": True}], "is no transform"),
        ([{**RESIZE, "scale": 3}], r"Resize has unknown argument\(s\) \['scale'\]"),
        ([{**RESIZE, "keep_ratio": None}], "keep_ratio=None"),
        ([{**RESIZE, "backend": "turbojpeg"}], "backend='turbojpeg'.*'cv2', 'pillow'"),
        ([{**RESIZE, "interpolation": "box"}], "interpolation='box'"),
        ([RESIZE, RESIZE], "second Resize needs override=True"),
        ([{**RESIZE, "override": True}], "img_scale=None, expected two numbers"),
        (
            [{**RESIZE, "override": True, "img_scale": [(4, 2), (8, 4)]}],
            "choosing among several is random",
        ),
        (
            [{**RESIZE, "override": True, "img_scale": (4, 2), "ratio_range": (0.5, 2.0)}],
            "a random scale cannot be honoured",
        ),
        (
            [{**RESIZE, "override": True, "img_scale": (4.5, 2), "keep_ratio": False}],
            "no whole number of pixels",
        ),
        ([{"type": "ResizeToMultiple", "size_divisor": 0}], "size_divisor=0"),
        ([{"type": "ResizeToMultiple", "size_divisor": (32,)}], "two numbers"),
        ([{"type": "ResizeToMultiple", "size_divisor": 2.5}], "whole numbers above 0"),
        ([{"type": "ResizeToMultiple", "interpolation": "cubic"}], "interpolation='cubic'"),
        ([{"type": "ResizeToMultiple", "keep_ratio": True}], "unknown argument"),
        ([FLIP, FLIP], "second RandomFlip"),
        ([{**FLIP, "level": 3}], "RandomFlip has unknown"),
        ([{"type": "Normalize", "std": (1, 1, 1)}], "mean=None, expected three numbers"),
        ([{**NORM, "mean": [1, 2]}], "three numbers"),
        ([{**NORM, "mean": 1}], "three numbers"),
        ([{**NORM, "mean": [1, 2, "3"]}], "finite numbers"),
        ([{**NORM, "std": [1, 0, 1]}], "std=.*other than 0"),
        ([{**NORM, "to_rgb": "yes"}], "to_rgb='yes'"),
        ([{**NORM, "scale": 2}], "Normalize has unknown"),
        ([{"type": "Pad"}], "expected exactly one of them"),
        ([{"type": "Pad", "size": (4, 4), "size_divisor": 32}], "exactly one"),
        ([{"type": "Pad", "size": 4}], "two numbers"),
        ([{"type": "Pad", "size": (4, 0)}], "whole numbers above 0"),
        ([{"type": "Pad", "size_divisor": True}], "whole numbers above 0"),
        ([{"type": "Pad", "size_divisor": 32, "pad_val": (1, 2)}], "one number or three"),
        ([{"type": "Pad", "size_divisor": 32, "pad_val": None}], "pad_val=None"),
        ([{"type": "Pad", "size_divisor": 32, "padding_mode": "edge"}], "padding_mode"),
    ],
)
def test_transforms_that_cannot_be_honoured_are_refused(transforms, words):
    with pytest.raises(ConfigError, match=words) as caught:
        parse_transform(pipeline(*transforms))
    assert str(caught.value).startswith("test pipeline: ")
