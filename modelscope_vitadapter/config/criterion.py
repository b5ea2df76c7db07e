"""Reads the losses of `model.decode_head` and the matching of `model.train_cfg`."""

from collections.abc import Mapping
from dataclasses import dataclass

from modelscope_vitadapter.config.fields import Fields
from modelscope_vitadapter.errors import ConfigError

NO_OBJECT_WEIGHT = 0.1
"""Weight of "no object" in the class loss (arXiv 2112.01527, section 4.1)."""


@dataclass(frozen=True)
class PartWeights:
    """What the three parts of a loss, or of a matching cost, are multiplied by."""

    classes: float = 2.0
    mask: float = 5.0
    dice: float = 5.0


@dataclass(frozen=True)
class PointSettings:
    """Where masks are compared: at random points in place of all pixels.

    Attributes:
        num_points: points of a mask, 1 or more.
        oversample_ratio: for the losses, `num_points` times this many are drawn to choose the most
            uncertain ones from, 1 or more.
        importance_sample_ratio: share of the points that are chosen so, in [0, 1]; the others are
            drawn anew.
    """

    num_points: int = 12544
    oversample_ratio: float = 3.0
    importance_sample_ratio: float = 0.75


@dataclass(frozen=True)
class CriterionSettings:
    """What the fine-tuning loss is computed with; defaults are Mask2Former's.

    Attributes:
        class_weight: weight of each class in the class loss, "no object" last: K + 1 numbers.
        loss: weights of the losses.
        cost: weights of the matching costs.
        points: where masks are compared.
        loss_dice_eps: added to numerator and denominator of the dice loss.
        cost_dice_eps: the same of the dice cost.
    """

    class_weight: tuple[float, ...]
    loss: PartWeights = PartWeights()
    cost: PartWeights = PartWeights()
    points: PointSettings = PointSettings()
    loss_dice_eps: float = 1.0
    cost_dice_eps: float = 1.0

    @property
    def num_classes(self) -> int:
        """K, "no object" not counted."""
        return len(self.class_weight) - 1


def parse_criterion(config: Mapping[str, object], num_classes: int) -> CriterionSettings:
    """Reads mmdet's names for what Mask2Former is trained with.

    What a configuration leaves out, whole entries or single values, is Mask2Former's, also where
    mmdet's class would take another default (`DiceLoss` on its own has `eps=1e-3`).

    Args:
        config: what `read_config` gives.
        num_classes: K, of the model that is trained. It may differ from the configuration's (a
            model that starts with other classes) as long as `class_weight` there treats all
            classes alike.

    Raises:
        ConfigError: for a setting that can't be honoured, by name.
    """
    model = Fields(_or_empty(config.get("model")), "model")
    head, inside = _part(model, "decode_head"), model.take("train_cfg", None)
    if inside is not None:
        train = Fields(inside, "model.train_cfg")
    else:
        train = Fields(_or_empty(config.get("train_cfg")), "train_cfg")
    loss_classes, class_weight = _class_loss(_part(head, "loss_cls"), num_classes)
    loss_mask = _mask_loss(_part(head, "loss_mask"))
    loss_dice, loss_dice_eps = _dice_loss(_part(head, "loss_dice"))
    cost, cost_dice_eps = _costs(_part(train, "assigner"))
    default = PointSettings()
    points = PointSettings(
        num_points=train.integer("num_points", default.num_points, high=2**20),
        oversample_ratio=train.number(
            "oversample_ratio", default.oversample_ratio, low=1.0, high=100.0
        ),
        importance_sample_ratio=train.probability(
            "importance_sample_ratio", default.importance_sample_ratio
        ),
    )
    sampler = _part(train, "sampler")
    sampler.kind("MaskPseudoSampler", default="MaskPseudoSampler")
    sampler.finish()
    train.finish()
    return CriterionSettings(
        class_weight=class_weight,
        loss=PartWeights(loss_classes, loss_mask, loss_dice),
        cost=cost,
        points=points,
        loss_dice_eps=loss_dice_eps,
        cost_dice_eps=cost_dice_eps,
    )


def _or_empty(value: object) -> object:
    return {} if value is None else value


def _part(parent: Fields, key: str) -> Fields:
    """The entry as a dictionary of its own; an empty one where it is missing or None."""
    return Fields(_or_empty(parent.take(key, None)), f"{parent.path}.{key}")


def _weight(fields: Fields, key: str, default: float) -> float:
    return fields.number(key, default, high=1e6)


def _dice_eps(fields: Fields) -> float:
    return fields.number("eps", 1.0, low=1e-12, high=1e6)


def _class_loss(fields: Fields, num_classes: int) -> tuple[float, tuple[float, ...]]:
    """Weight of the class loss and of each class in it."""
    _check_cross_entropy(fields, use_sigmoid=False)
    weight = _weight(fields, "loss_weight", PartWeights.classes)
    class_weight = _class_weight(fields, num_classes)
    fields.finish()
    return weight, class_weight


def _mask_loss(fields: Fields) -> float:
    """Weight of the binary cross entropy of masks."""
    _check_cross_entropy(fields, use_sigmoid=True)
    fields.only("class_weight", None)
    weight = _weight(fields, "loss_weight", PartWeights.mask)
    fields.finish()
    return weight


def _check_cross_entropy(fields: Fields, *, use_sigmoid: bool) -> None:
    """Takes what both cross entropies have and only one value is honoured of."""
    fields.kind("CrossEntropyLoss", default="CrossEntropyLoss")
    fields.fixed(use_sigmoid=use_sigmoid, use_mask=False, reduction="mean")
    fields.fixed(ignore_index=None, avg_non_ignore=False)
    fields.skip("loss_name")  # mmsegmentation's: what the log calls it


def _dice_loss(fields: Fields) -> tuple[float, float]:
    """Weight of the dice loss, and what keeps it from dividing by zero."""
    fields.kind("DiceLoss", default="DiceLoss")
    fields.fixed(use_sigmoid=True, activate=True, reduction="mean", naive_dice=True)
    weight, eps = _weight(fields, "loss_weight", PartWeights.dice), _dice_eps(fields)
    fields.finish()
    return weight, eps


def _costs(assigner: Fields) -> tuple[PartWeights, float]:
    """Weights of the matching costs, and the dice cost's eps."""
    assigner.kind("MaskHungarianAssigner", default="MaskHungarianAssigner")
    classes, mask, dice = (_part(assigner, key) for key in ("cls_cost", "mask_cost", "dice_cost"))
    classes.kind("ClassificationCost", default="ClassificationCost")
    mask.kind("CrossEntropyLossCost", default="CrossEntropyLossCost")
    dice.kind("DiceCost", default="DiceCost")
    mask.fixed(use_sigmoid=True)
    dice.fixed(pred_act=True, naive_dice=True)
    eps = _dice_eps(dice)
    weights = PartWeights(
        classes=_weight(classes, "weight", PartWeights.classes),
        mask=_weight(mask, "weight", PartWeights.mask),
        dice=_weight(dice, "weight", PartWeights.dice),
    )
    for fields in (assigner, classes, mask, dice):
        fields.finish()
    return weights, eps


def _class_weight(fields: Fields, num_classes: int) -> tuple[float, ...]:
    """One weight for each class and one for "no object"."""
    value = fields.take("class_weight", None)
    if value is None:
        return (1.0,) * num_classes + (NO_OBJECT_WEIGHT,)
    is_list = isinstance(value, (list, tuple)) and len(value) >= 2
    if not is_list or not all(map(_is_weight, value)) or not any(value):
        expected = "a list of numbers from 0 to 1e6, not all 0, 'no object' last"
        raise fields.refuse("class_weight", value, expected)
    weights = tuple(float(one) for one in value)
    if len(weights) == num_classes + 1:
        return weights
    if len(set(weights[:-1])) > 1:
        raise ConfigError(
            f"{fields.path}.class_weight has {len(weights)} numbers that differ from class to "
            f"class, but {num_classes} classes are trained: expected {num_classes + 1} numbers, "
            "'no object' last. Give one for each class in mmcv_config.py, or leave it out."
        )
    return (weights[0],) * num_classes + (weights[-1],)


def _is_weight(value: object) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 <= value <= 1e6  # type: ignore[operator]
