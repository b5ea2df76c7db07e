import pytest
from addict import Dict as AddictDict

from modelscope_vitadapter.config.config_dict import Unreadable
from modelscope_vitadapter.config.test_pipeline import (
    Flip,
    Normalize,
    Pad,
    Resize,
    ResizeToMultiple,
    parse_test_pipeline,
)
from modelscope_vitadapter.errors import ConfigError, UnreadableConfigError

LOAD = {"type": "LoadImageFromFile"}
RESIZE = {"type": "Resize", "keep_ratio": True}
FLIP = {"type": "RandomFlip"}
NORM = {"type": "Normalize", "mean": (1, 2, 3), "std": (4, 5, 6)}
MULTIPLE = {"type": "ResizeToMultiple"}


def pipeline(*transforms, load=LOAD, **augmentation):
    augmentation = {"img_scale": (40, 20), **augmentation}
    return [load, {"type": "MultiScaleFlipAug", "transforms": list(transforms), **augmentation}]


def views(*transforms, **augmentation):
    return parse_test_pipeline(pipeline(*transforms, **augmentation)).views


@pytest.mark.parametrize(
    ("transform", "step"),
    [
        (RESIZE, Resize((20, 40))),
        ({"type": "mmdet.Resize"}, Resize((20, 40))),
        ({**RESIZE, "keep_ratio": False}, Resize((20, 40), keep_ratio=False)),
        ({**RESIZE, "interpolation": "bilinear", "backend": "cv2"}, Resize((20, 40))),
        ({**RESIZE, "img_scale": [(9, 8), (7, 6)], "multiscale_mode": "range"}, Resize((20, 40))),
        (MULTIPLE, ResizeToMultiple((32, 32))),
        ({**MULTIPLE, "size_divisor": (8, 16)}, ResizeToMultiple((16, 8))),
        (NORM, Normalize((1, 2, 3), (4, 5, 6))),
        ({**NORM, "to_rgb": False}, Normalize((1, 2, 3), (4, 5, 6), to_rgb=False)),
        ({"type": "Pad", "size": [8, 9]}, Pad(size=(8, 9))),
        ({"type": "Pad", "size_divisor": 32, "pad_val": 7}, Pad(divisor=32, value=7)),
        ({"type": "Pad", "size_divisor": 32, "pad_val": {"seg": 255}}, Pad(divisor=32)),
        ({"type": "Pad", "size": (8, 9), "pad_val": {"img": [1, 2, 3]}}, Pad((8, 9), 1, (1, 2, 3))),
        ({"type": "ImageToTensor", "keys": ["img"]}, None),
        ({"type": "DefaultFormatBundle"}, None),
        ({"type": "Collect", "keys": ["img"], "meta_keys": ("flip",)}, None),
        ({**FLIP, "flip_ratio": 0.5, "direction": "diagonal"}, None),
    ],
)
def test_transforms_are_read(transform, step):
    for config in (transform, AddictDict(transform)):
        (view,) = views(config)
        assert view.steps == (() if step is None else (step,))


@pytest.mark.parametrize(
    ("scale", "boxes"),
    [
        ((40, 20), [(20, 40)]),
        ([40, 20], [(20, 40)]),
        ([(40, 20), [4, 2]], [(20, 40), (2, 4)]),
        (None, [(8, 9)]),
    ],
)
def test_scales_are_read_and_a_resizes_own_counts_where_there_is_none(scale, boxes):
    found = views({**RESIZE, "img_scale": (9, 8)}, img_scale=scale, scale_factor=None)
    assert [view.steps for view in found] == [(Resize(box),) for box in boxes]


@pytest.mark.parametrize(
    ("augmentation", "flips"),
    [
        ({"flip": False, "flip_direction": "diagonal"}, [None]),
        ({"flip": True}, [None, "horizontal"]),
        ({"flip": True, "flip_direction": "vertical"}, [None, "vertical"]),
        (
            {"flip": True, "flip_direction": ("vertical", "horizontal")},
            [None, "vertical", "horizontal"],
        ),
    ],
)
def test_flips_come_inside_of_scales_and_where_the_pipeline_has_them(augmentation, flips):
    found = views(RESIZE, FLIP, NORM, img_scale=[(4, 2), (8, 4)], **augmentation)
    assert [view.flip for view in found] == flips * 2
    for view in found:
        assert [s for s in view.steps if isinstance(s, Flip)] == [Flip(view.flip)] * bool(view.flip)


def test_the_loaders_type_is_irrelevant():
    load = {"type": "AnyLoader", "to_float32": False, "file_client_args": {"backend": "disk"}}
    assert parse_test_pipeline(pipeline(load=load)) == parse_test_pipeline(pipeline())


AUG = {"type": "MultiScaleFlipAug", "img_scale": (4, 2), "transforms": []}
FORMS = [
    ([], "expected a loader and MultiScaleFlipAug"),
    ([LOAD, RESIZE, NORM], r"\['LoadImageFromFile', 'Resize', 'Normalize'\]"),
    ([LOAD, AUG, NORM], "expected a loader"),
    (LOAD, "no list of at most 64 transforms"),
    ([LOAD] * 65, "no list of at most 64 transforms"),
    ([LOAD, "Resize"], "a transform is 'Resize': expected dict"),
    ([{"to_float32": True}, AUG], "a transform.type is missing"),
    ([{**LOAD, "page": 1}, AUG], "LoadImageFromFile.page"),
    ([{**LOAD, "to_float32": True}, AUG], "to_float32 = True .*expected False"),
    ([LOAD, {**AUG, "img_ratios": [1.0]}], "MultiScaleFlipAug.img_ratios"),
    ([LOAD, {**AUG, "transforms": None}], "no list of at most 64 transforms"),
    ([LOAD, {**AUG, "img_scale": None, "scale_factor": 1.0}], "scale_factor = 1.0"),
]
AUGMENTATIONS = [
    ({"img_scale": []}, "img_scale = "),
    ({"img_scale": 40}, "img_scale = 40 .*expected a list of 2 numbers"),
    ({"img_scale": [(40, 20, 3)]}, "img_scale = "),
    ({"img_scale": (40, -1)}, "a whole number from 1 to 65536"),
    ({"img_scale": [("40", 20.5)]}, "img_scale = '40' .*a whole number"),
    ({"img_scale": (65536, 65536)}, "at most 67108864 pixels"),
    ({"img_scale": (65536, 2048)}, "2048 x 65536 pixels of 2048 x 65536"),
    ({"img_scale": [(4, 2)] * 33, "flip": True}, "at most 64 scales times flips"),
    ({"flip": True, "flip_direction": "diagonal"}, "flip_direction = 'diagonal'"),
    ({"flip": True, "flip_direction": ["horizontal", 3]}, "flip_direction"),
    ({"flip": 1}, "flip = 1"),
]
TRANSFORMS = [
    ([{"type": "PhotoMetricDistortion"}], "PhotoMetricDistortion.* expected some of Resize"),
    ([{**RESIZE, "scale": 3}], "Resize.scale = 3"),
    ([{**RESIZE, "keep_ratio": None}], "keep_ratio = None"),
    ([{**RESIZE, "backend": "pillow"}], "backend = 'pillow' .*expected 'cv2'"),
    ([{**RESIZE, "interpolation": "bicubic"}], "interpolation = 'bicubic'"),
    ([{**RESIZE, "ratio_range": (0.5, 2.0)}], "ratio_range"),
    ([{**RESIZE, "override": True}], "override = True"),
    ([RESIZE, RESIZE], "Resize.type = 'Resize' .*no more than one"),
    ([FLIP, FLIP], "no more than one"),
    ([{**FLIP, "level": 3}], "RandomFlip.level"),
    ([{**MULTIPLE, "size_divisor": 0}], "size_divisor = 0 "),
    ([{**MULTIPLE, "size_divisor": 65536}], "65536 x 65536 pixels of 1 x 1"),
    ([{**MULTIPLE, "interpolation": "area"}], "interpolation = 'area'"),
    (
        [RESIZE, {**MULTIPLE, "size_divisor": (1, 60000)}, {"type": "Pad", "size": (9, 9999)}],
        "at most 67108864 pixels",
    ),
    ([{"type": "Normalize", "std": (1, 1, 1)}], "Normalize.mean is missing"),
    ([{**NORM, "mean": [1, 2]}], "a list of 3 numbers"),
    ([{**NORM, "mean": [1, 2, "3"]}], "mean = '3'"),
    ([{**NORM, "mean": [1, 2, float("nan")]}], "mean = nan"),
    ([{**NORM, "std": [1, 0, 1]}], "std = .*other than 0"),
    ([{**NORM, "to_rgb": "yes"}], "to_rgb = 'yes'"),
    ([{"type": "Pad"}], "Pad.size_divisor is missing"),
    ([{"type": "Pad", "size": (4, 4), "size_divisor": 32}], "size_divisor = 32 .*None"),
    ([{"type": "Pad", "pad_to_square": True}], "pad_to_square = True"),
    ([{"type": "Pad", "size_divisor": True}], "size_divisor = True"),
    ([{"type": "Pad", "size_divisor": 32, "pad_val": (1, 2)}], "a list of 3 numbers"),
    ([{"type": "Pad", "size_divisor": 32, "padding_mode": "edge"}], "padding_mode"),
]
REFUSED = [
    *FORMS,
    *((pipeline(RESIZE, FLIP, **augmentation), words) for augmentation, words in AUGMENTATIONS),
    *((pipeline(*transforms), words) for transforms, words in TRANSFORMS),
    (pipeline(RESIZE, flip=True), "flip=True, but none of its transforms is a RandomFlip"),
]


@pytest.mark.parametrize(("config", "words"), REFUSED)
def test_what_cannot_be_honoured_is_refused(config, words):
    with pytest.raises(ConfigError, match=f"^test pipeline: .*{words}") as caught:
        parse_test_pipeline(config)
    assert len(caught.value.args) == 1


@pytest.mark.parametrize(
    "config",
    [
        Unreadable("line 3"),
        pipeline(RESIZE, img_scale=Unreadable("line 3")),
        pipeline({**NORM, "std": Unreadable("line 3")}),
        pipeline({"type": "Pad", "size": (8, 9), "pad_val": {"img": Unreadable("line 3")}}),
    ],
)
def test_values_that_were_not_evaluated_are_refused_as_such(config):
    with pytest.raises(UnreadableConfigError, match="line 3"):
        parse_test_pipeline(config)
