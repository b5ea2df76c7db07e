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
    model = _mapping(config.get("model"), "model")
    head = Fields(_mapping(model.get("decode_head"), "model.decode_head"), "model.decode_head")
    train_cfg, path = model.get("train_cfg"), "model.train_cfg"
    if train_cfg is None:
        train_cfg, path = config.get("train_cfg"), "train_cfg"
    train = Fields({} if train_cfg is None else train_cfg, path)
    loss_classes, class_weight = _class_loss(_optional(head, "loss_cls"), num_classes)
    loss_mask = _mask_loss(_optional(head, "loss_mask"))
    loss_dice, loss_dice_eps = _dice_loss(_optional(head, "loss_dice"))
    cost, cost_dice_eps = _costs(_optional(train, "assigner"))
    points = PointSettings(
        num_points=train.integer("num_points", PointSettings.num_points),
        oversample_ratio=train.number(
            "oversample_ratio", PointSettings.oversample_ratio, low=1.0, high=100.0
        ),
        importance_sample_ratio=train.probability(
            "importance_sample_ratio", PointSettings.importance_sample_ratio
        ),
    )
    sampler = _optional(train, "sampler")
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


def _mapping(value: object, path: str) -> Mapping[str, object]:
    """`value`, or nothing where it is missing; `Fields` checks what else it can be."""
    if value is None:
        return {}
    Fields(value, path)
    assert isinstance(value, Mapping)
    return value


def _optional(parent: Fields, key: str) -> Fields:
    """The entry as a dictionary of its own; an empty one where it is missing."""
    value = parent.take(key, None)
    return Fields({} if value is None else value, f"{parent.path}.{key}")


def _class_loss(fields: Fields, num_classes: int) -> tuple[float, tuple[float, ...]]:
    """Weight of the class loss and of each class in it."""
    _cross_entropy(fields, use_sigmoid=False)
    weight = fields.number("loss_weight", PartWeights.classes, high=1e6)
    class_weight = _class_weight(fields, num_classes)
    fields.finish()
    return weight, class_weight


def _mask_loss(fields: Fields) -> float:
    """Weight of the binary cross entropy of masks."""
    _cross_entropy(fields, use_sigmoid=True)
    fields.only("class_weight", None, default=None)
    weight = fields.number("loss_weight", PartWeights.mask, high=1e6)
    fields.finish()
    return weight


def _cross_entropy(fields: Fields, *, use_sigmoid: bool) -> None:
    """Takes what both cross entropies have and only one value is honoured of."""
    fields.kind("CrossEntropyLoss", default="CrossEntropyLoss")
    fields.only("use_sigmoid", use_sigmoid, default=use_sigmoid)
    fields.only("use_mask", False, default=False)
    fields.only("reduction", "mean", default="mean")
    fields.only("ignore_index", None, default=None)
    fields.only("avg_non_ignore", False, default=False)
    fields.skip("loss_name")  # mmsegmentation's: what the log calls it


def _dice_loss(fields: Fields) -> tuple[float, float]:
    """Weight of the dice loss, and what keeps it from dividing by zero."""
    fields.kind("DiceLoss", default="DiceLoss")
    fields.only("use_sigmoid", True, default=True)
    fields.only("activate", True, default=True)
    fields.only("reduction", "mean", default="mean")
    fields.only("naive_dice", True, default=True)
    weight = fields.number("loss_weight", PartWeights.dice, high=1e6)
    eps = _dice_eps(fields)
    fields.finish()
    return weight, eps


def _dice_eps(fields: Fields) -> float:
    return fields.number("eps", 1.0, low=1e-12, high=1e6)


def _costs(assigner: Fields) -> tuple[PartWeights, float]:
    """Weights of the matching costs, and the dice cost's eps."""
    assigner.kind("MaskHungarianAssigner", default="MaskHungarianAssigner")
    classes, mask, dice = (
        _optional(assigner, key) for key in ("cls_cost", "mask_cost", "dice_cost")
    )
    assigner.finish()
    classes.kind("ClassificationCost", default="ClassificationCost")
    mask.kind("CrossEntropyLossCost", default="CrossEntropyLossCost")
    mask.only("use_sigmoid", True, default=True)
    dice.kind("DiceCost", default="DiceCost")
    dice.only("pred_act", True, default=True)
    dice.only("naive_dice", True, default=True)
    eps = _dice_eps(dice)
    weights = PartWeights(
        classes=classes.number("weight", PartWeights.classes, high=1e6),
        mask=mask.number("weight", PartWeights.mask, high=1e6),
        dice=dice.number("weight", PartWeights.dice, high=1e6),
    )
    for fields in (classes, mask, dice):
        fields.finish()
    return weights, eps


def _class_weight(fields: Fields, num_classes: int) -> tuple[float, ...]:
    """One weight for each class and one for "no object"."""
    value = fields.take("class_weight", None)
    if value is None:
        return (1.0,) * num_classes + (NO_OBJECT_WEIGHT,)
    if (
        not isinstance(value, (list, tuple))
        or len(value) < 2
        or not all(
            isinstance(one, (int, float)) and not isinstance(one, bool) and 0 <= one <= 1e6
            for one in value
        )
        or not any(value)
    ):
        raise fields.refuse(
            "class_weight", value, "a list of numbers from 0 to 1e6, not all 0, 'no object' last"
        )
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
