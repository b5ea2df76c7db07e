import ast
import itertools

from modelscope_vitadapter.config.model_config import parse_model
from modelscope_vitadapter.config.reader import read_config
from modelscope_vitadapter.training.start.config import (
    config_for_classes,
    config_text,
    default_palette,
)
from tests.support.configs import tiny_config

PIPELINE = {"data": {"test": {"pipeline": [{"type": "LoadImageFromFile"}]}}}


def whole_config():
    return {**tiny_config(), **PIPELINE}


def test_colours_are_distinct_and_in_range():
    colours = default_palette(171)
    assert len({tuple(colour) for colour in colours}) > 150
    assert all(0 <= part <= 255 for colour in colours for part in colour)
    neighbours = itertools.pairwise(colours)
    assert all(sum(abs(a - b) for a, b in zip(x, y, strict=True)) > 60 for x, y in neighbours)


def test_the_text_is_literals_only_and_reads_back(tmp_path):
    config = config_for_classes(whole_config(), ["a", 'b\'s "c"'])
    text = config_text(config)
    body = ast.parse(text).body[1:]
    assert all(isinstance(line, ast.Assign) for line in body)
    assert {line.targets[0].id: ast.literal_eval(line.value) for line in body} == config
    path = tmp_path / "mmcv_config.py"
    path.write_text(text, encoding="utf-8")
    assert parse_model(read_config(path)) == parse_model(config)


def test_only_the_classes_differ():
    before = parse_model(tiny_config())
    after = parse_model(config_for_classes(whole_config(), ["a", "b", "c"]))
    assert after.head.num_classes == 3
    assert after.backbone == before.backbone
    assert after.windows == before.windows


def test_what_could_not_be_read_is_left_out(tmp_path):
    path = tmp_path / "mmcv_config.py"
    path.write_text(
        "import os\nmodel = dict(pretrained=os.environ['HOME'], decode_head=dict(a=1))\n"
        "data = dict(test=dict(pipeline=[dict(type='LoadImageFromFile')]))\n",
        encoding="utf-8",
    )
    config = config_for_classes(read_config(path), ["a"])
    assert "pretrained" not in config["model"]
    assert config["model"]["decode_head"]["a"] == 1
