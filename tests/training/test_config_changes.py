import ast
import itertools

import pytest

from modelscope_vitadapter.config.config_dict import ConfigDict
from modelscope_vitadapter.config.criterion import parse_criterion
from modelscope_vitadapter.config.model_config import load_model_config, parse_model_config
from modelscope_vitadapter.errors import ConfigError, TrainingError
from modelscope_vitadapter.training.config_changes import (
    changed_config,
    config_text,
    default_palette,
)
from tests.training.tiny_model import PIPELINE, STEPS, trained_config

WINDOWS = "model.test_cfg"


def config_of(changes=None, pipeline=PIPELINE):
    values = {**trained_config(changes), "data": {"test": {"pipeline": pipeline}}}
    return parse_model_config(ConfigDict(values))


def test_what_changes_nothing_is_the_configuration_itself():
    config = config_of()
    for changes in ({}, {"classes": config.classes}, {"crop": 64}):
        assert changed_config(config, **changes) is config
    # windows of that size around a network that was trained with another one
    other = config_of({"model.backbone.img_size": 32})
    assert changed_config(other, crop=64).settings.backbone.grid == (4, 4)


def test_only_the_classes_differ():
    config = config_of({"model.decode_head.loss_cls": {"class_weight": [1.0] * 5 + [0.2]}})
    changed = changed_config(config, classes=["猫", "dog", "fish"])
    assert changed.classes == ["猫", "dog", "fish"]
    assert len(changed.palette) == changed.settings.head.num_classes == 3
    assert changed.settings.backbone == config.settings.backbone
    assert changed.settings.windows == config.settings.windows
    assert changed.transform == config.transform
    assert parse_criterion(changed.config, 3).class_weight == (1.0, 1.0, 1.0, 0.2)
    assert config.settings.head.num_classes == len(config.config["CLASSES"]) == 5
    assert changed_config(config, palette=[[1, 2, 3]] * 5).palette == [[1, 2, 3]] * 5


def test_the_text_is_literals_only_and_reads_back(tmp_path):
    changed = changed_config(config_of(), classes=["a", 'b\'s "c"'], crop=96)
    text = config_text(changed)
    body = ast.parse(text).body[1:]
    assert all(isinstance(line, ast.Assign) for line in body)
    assert {line.targets[0].id: ast.literal_eval(line.value) for line in body} == changed.config
    (tmp_path / "mmcv_config.py").write_text(text, encoding="utf-8")
    assert load_model_config(tmp_path) == changed


def test_what_could_not_be_read_is_left_out(tmp_path):
    values = "\n".join(f"{name} = {value!r}" for name, value in trained_config().items())
    text = f"import os\n{values}\nmodel = dict(**model, pretrained=os.environ['HOME'])\n"
    (tmp_path / "mmcv_config.py").write_text(text, encoding="utf-8")
    changed = changed_config(load_model_config(tmp_path), classes=["a"])
    assert "pretrained" not in changed.config["model"]
    assert changed.config["model"]["backbone"]["depth"] == 4


def test_windows_strides_and_scales_change_together():
    before, after = config_of(), changed_config(config_of(), crop=128)
    assert after.settings.windows.crop_size == after.settings.backbone.img_size == (128, 128)
    assert after.settings.windows.stride == tuple(2 * s for s in before.settings.windows.stride)
    sizes = [config.transform.views[0].output_size((300, 450)) for config in (before, after)]
    assert sizes[1] == tuple(2 * side for side in sizes[0])
    assert (after.classes, after.palette) == (before.classes, before.palette)


def test_scales_and_sizes_of_steps():
    steps = [*STEPS, {"type": "Pad", "size": (64, 60)}, {"type": "Pad", "size_divisor": 32}]
    outer = {**PIPELINE[1], "img_scale": [(256, 64), (384, 96)], "transforms": steps}
    changed = changed_config(config_of(pipeline=[PIPELINE[0], outer]), crop=32)
    found = changed.config["data"]["test"]["pipeline"][1]
    assert found["img_scale"] == [(128, 32), (192, 48)]
    pads = [step for step in found["transforms"] if step["type"] == "Pad"]
    assert pads == [{"type": "Pad", "size": (32, 30)}, {"type": "Pad", "size_divisor": 32}]
    assert outer["transforms"] == steps


@pytest.mark.parametrize(
    ("changes", "options", "error", "message"),
    [
        ({}, {"classes": []}, TrainingError, "no class is given"),
        ({}, {"classes": ["a", "a"]}, TrainingError, "'a' is given 2 times"),
        ({}, {"palette": [[0, 0, 0]]}, ConfigError, "1 colours for 5 classes"),
        ({}, {"crop": 100}, ValueError, "crop is 100: expected a multiple of 32"),
        ({WINDOWS: {"mode": "whole"}}, {"crop": 96}, ConfigError, "no windows, so crop=96"),
        (
            {WINDOWS: {"mode": "slide", "crop_size": (64, 128), "stride": (32, 32)}},
            {"crop": 96},
            ConfigError,
            "has oblong windows",
        ),
    ],
)
def test_what_cannot_be_is_refused(changes, options, error, message):
    with pytest.raises(error, match=message):
        changed_config(config_of(changes), **options)


def test_colours_are_distinct_and_in_range():
    colours = default_palette(171)
    assert len({tuple(colour) for colour in colours}) > 150
    assert all(0 <= part <= 255 for colour in colours for part in colour)
    neighbours = itertools.pairwise(colours)
    assert all(sum(abs(a - b) for a, b in zip(x, y, strict=True)) > 60 for x, y in neighbours)
