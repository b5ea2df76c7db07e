"""Reads the losses of `model.decode_head` and the matching of `model.train_cfg`."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass

from modelscope_vitadapter.config.fields import Fields
from modelscope_vitadapter.errors import ConfigError

NO_OBJECT_WEIGHT = 0.1
"""Weight of "no object" in the class loss (arXiv 2112.01527, section 4.1)."""

LARGEST_WEIGHT = 1e6


@dataclass(frozen=True)
class PartWeights:
    """What the three parts of a loss, or of a matching cost, are multiplied by."""

    classes: float = 2.0
    mask: float = 5.0
    dice: float = 5.0


@dataclass(frozen=True)
class PointSettings:
    """Where masks are compared: at random points in place of all pixels."""

    num_points: int = 12544  # of a mask, 1 or more
    oversample_ratio: float = 3.0
    """Times `num_points`, 1 or more, that losses draw to choose the most uncertain ones from."""
    importance_sample_ratio: float = 0.75
    """Share of the points, in [0, 1], that are chosen so; the others are drawn anew."""


@dataclass(frozen=True)
class CriterionSettings:
    """What the fine-tuning loss is computed with; defaults are Mask2Former's."""

    class_weight: tuple[float, ...]  # of K classes in the class loss, then of "no object"
    loss: PartWeights = PartWeights()
    cost: PartWeights = PartWeights()  # of matching
    points: PointSettings = PointSettings()
    loss_dice_eps: float = 1.0  # added to numerator and denominator of the dice loss
    cost_dice_eps: float = 1.0  # the same of the dice cost

    @property
    def num_classes(self) -> int:
        """K, "no object" not counted."""
        return len(self.class_weight) - 1


def parse_criterion(config: Mapping[str, object], num_classes: int) -> CriterionSettings:
    """Reads mmdet's names for what Mask2Former is trained with.

    What a configuration leaves out, whole entries or single values, is Mask2Former's, also where
    mmdet's class would take another default (`DiceLoss` on its own has `eps=1e-3`).

    Args:
        config: the whole configuration.
        num_classes: K, of the model that is trained. It may differ from the configuration's as long
            as `class_weight` there treats all classes alike.

    Raises:
        ConfigError: for a setting that can't be honoured, by name.
    """
    model = Fields(config, "").child("model")
    train = Fields(model.take("train_cfg", None) or {}, "model.train_cfg")
    head, assigner = model.child("decode_head"), train.child("assigner", {})
    losses = [head.child(key, {}) for key in ("loss_cls", "loss_mask", "loss_dice")]
    costs = [assigner.child(key, {}) for key in ("cls_cost", "mask_cost", "dice_cost")]
    loss_cls, loss_mask, loss_dice = losses
    cls_cost, mask_cost, dice_cost = costs
    settings = CriterionSettings(
        class_weight=_class_weight(loss_cls, num_classes),
        loss=_weights(losses, "loss_weight"),
        cost=_weights(costs, "weight"),
        points=PointSettings(
            train.integer("num_points", PointSettings.num_points, high=2**20),
            train.number("oversample_ratio", PointSettings.oversample_ratio, low=1, high=100),
            train.number("importance_sample_ratio", PointSettings.importance_sample_ratio, high=1),
        ),
        loss_dice_eps=loss_dice.number("eps", 1.0, low=1e-12, high=LARGEST_WEIGHT),
        cost_dice_eps=dice_cost.number("eps", 1.0, low=1e-12, high=LARGEST_WEIGHT),
    )
    for loss, use_sigmoid in ((loss_cls, False), (loss_mask, True)):
        loss.fixed(type="CrossEntropyLoss", use_sigmoid=use_sigmoid, use_mask=False)
        loss.fixed(reduction="mean", ignore_index=None, avg_non_ignore=False)
        loss.skip("loss_name")  # mmsegmentation's: what the log calls it
    loss_mask.fixed(class_weight=None)
    loss_dice.fixed(type="DiceLoss", use_sigmoid=True, activate=True, naive_dice=True)
    loss_dice.fixed(reduction="mean")
    assigner.fixed(type="MaskHungarianAssigner")
    cls_cost.fixed(type="ClassificationCost")
    mask_cost.fixed(type="CrossEntropyLossCost", use_sigmoid=True)
    dice_cost.fixed(type="DiceCost", pred_act=True, naive_dice=True)
    sampler = train.child("sampler", {})
    sampler.fixed(type="MaskPseudoSampler")
    for fields in (*losses, *costs, assigner, sampler, train):
        fields.finish()
    return settings


def _weights(parts: list[Fields], key: str) -> PartWeights:
    found = zip(parts, astuple(PartWeights()), strict=True)
    return PartWeights(*(part.number(key, one, high=LARGEST_WEIGHT) for part, one in found))


def _class_weight(fields: Fields, num_classes: int) -> tuple[float, ...]:
    """One weight for each class and one for "no object"."""
    value = fields.take("class_weight", None)
    if value is None:
        return (1.0,) * num_classes + (NO_OBJECT_WEIGHT,)
    parts = fields.parts("class_weight", value)
    weights = tuple(part.number("class_weight", high=LARGEST_WEIGHT) for part in parts)
    if len(weights) < 2 or not any(weights):
        raise fields.refuse("class_weight", value, "numbers not all 0, 'no object' last")
    if len(weights) == num_classes + 1:
        return weights
    if len(set(weights[:-1])) > 1:
        raise ConfigError(
            f"{fields.path}.class_weight has {len(weights)} numbers that differ from class to "
            f"class, but {num_classes} classes are trained: expected {num_classes + 1} numbers, "
            "'no object' last. Give one for each class in mmcv_config.py, or leave it out."
        )
    return (weights[0],) * num_classes + (weights[-1],)
