from dataclasses import replace

import pytest

from modelscope_vitadapter.config.criterion import (
    CriterionSettings,
    PartWeights,
    PointSettings,
    parse_criterion,
)
from modelscope_vitadapter.config.reader import read_config
from modelscope_vitadapter.errors import ConfigError
from tests.support.configs import GOLDEN

PUBLISHED = read_config(GOLDEN / "base" / "mmcv_config.py").to_dict()
CLASSES = 17
STANDARD = CriterionSettings(class_weight=(1.0,) * CLASSES + (0.1,))


def with_value(values, path, value):
    """A copy of nested dictionaries with one value put in its place."""
    name, _, rest = path.partition(".")
    inner = with_value(values.get(name, {}), rest, value) if rest else value
    return {**values, name: inner}


def config(path, value):
    return with_value(PUBLISHED, f"model.{path}", value)


@pytest.mark.parametrize(
    "given",
    [
        PUBLISHED,
        {"model": {"decode_head": {}}},
        {"model": {"decode_head": {}, "train_cfg": None}},
        {"model": {"decode_head": {"loss_cls": {}}, "train_cfg": {"assigner": {"dice_cost": {}}}}},
    ],
)
def test_published_configurations_and_what_is_left_out_are_mask2formers(given):
    assert parse_criterion(given, CLASSES) == STANDARD
    assert STANDARD.num_classes == CLASSES


WEIGHTS = [1, 2] * 8 + [3, 0.5]
EVERY_VALUE = [
    ("decode_head.loss_cls.loss_weight", 1, {"loss": PartWeights(1.0, 5.0, 5.0)}),
    ("decode_head.loss_mask.loss_weight", 20.0, {"loss": PartWeights(2.0, 20.0, 5.0)}),
    ("decode_head.loss_dice.loss_weight", 0.0, {"loss": PartWeights(2.0, 5.0, 0.0)}),
    ("decode_head.loss_dice.eps", 0.001, {"loss_dice_eps": 0.001}),
    ("decode_head.loss_cls.class_weight", WEIGHTS, {"class_weight": tuple(map(float, WEIGHTS))}),
    ("decode_head.loss_cls.class_weight", None, {}),
    ("train_cfg.num_points", 100, {"points": PointSettings(100, 3.0, 0.75)}),
    ("train_cfg.oversample_ratio", 1, {"points": PointSettings(12544, 1.0, 0.75)}),
    ("train_cfg.importance_sample_ratio", 0, {"points": PointSettings(12544, 3.0, 0.0)}),
    ("train_cfg.assigner.cls_cost.weight", 1.0, {"cost": PartWeights(1.0, 5.0, 5.0)}),
    ("train_cfg.assigner.mask_cost.weight", 1.0, {"cost": PartWeights(2.0, 1.0, 5.0)}),
    ("train_cfg.assigner.dice_cost.weight", 1.0, {"cost": PartWeights(2.0, 5.0, 1.0)}),
    ("train_cfg.assigner.dice_cost.eps", 0.5, {"cost_dice_eps": 0.5}),
]


@pytest.mark.parametrize(("path", "value", "changed"), EVERY_VALUE)
def test_every_value_is_read(path, value, changed):
    assert parse_criterion(config(path, value), CLASSES) == replace(STANDARD, **changed)


@pytest.mark.parametrize("number", [2, 5])
def test_equal_class_weights_fit_any_number_of_classes(number):
    given = config("decode_head.loss_cls.class_weight", [2.0, 2.0, 2.0, 0.3])
    assert parse_criterion(given, number).class_weight == (2.0,) * number + (0.3,)


REFUSED = {
    "decode_head.loss_mask": [5.0],
    "decode_head.loss_cls.type": ["FocalLoss"],
    "decode_head.loss_cls.use_sigmoid": [True],
    "decode_head.loss_cls.reduction": ["sum"],
    "decode_head.loss_cls.ignore_index": [3],
    "decode_head.loss_cls.avg_non_ignore": [True],
    "decode_head.loss_cls.loss_weight": [-1.0],
    "decode_head.loss_cls.class_weight": [
        *("balanced", [0.0] * 18, [True] * 18, [float("nan")] * 18, [1.0, 2.0, 0.1], [1.0]),
    ],
    "decode_head.loss_cls.label_smoothing": [0.1],
    "decode_head.loss_mask.use_sigmoid": [False],
    "decode_head.loss_mask.class_weight": [[1.0]],
    "decode_head.loss_dice.naive_dice": [False],
    "decode_head.loss_dice.activate": [False],
    "decode_head.loss_dice.eps": [0.0],
    "train_cfg.num_points": [0],
    "train_cfg.oversample_ratio": [0.5],
    "train_cfg.importance_sample_ratio": [1.5],
    "train_cfg.assigner.type": ["HungarianAssigner"],
    "train_cfg.assigner.cls_cost.type": ["FocalLossCost"],
    "train_cfg.assigner.mask_cost.use_sigmoid": [False],
    "train_cfg.assigner.dice_cost.pred_act": [False],
    "train_cfg.assigner.iou_cost": [{"type": "IoUCost"}],
    "train_cfg.sampler.type": ["RandomSampler"],
    "train_cfg.num_negatives": [3],
}


@pytest.mark.parametrize("path", REFUSED)
def test_what_cannot_be_honoured_is_refused_by_name(path):
    for value in REFUSED[path]:
        with pytest.raises(ConfigError, match=path.replace(".", r"\.")):
            parse_criterion(config(path, value), CLASSES)
