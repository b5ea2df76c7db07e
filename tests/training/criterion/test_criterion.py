from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from modelscope_vitadapter.config.criterion import PartWeights, PointSettings
from modelscope_vitadapter.errors import TrainingError
from modelscope_vitadapter.training.criterion import criterion as criterion_module
from modelscope_vitadapter.training.criterion.criterion import Mask2FormerCriterion
from modelscope_vitadapter.training.criterion.matching import match
from modelscope_vitadapter.training.criterion.points import SeededPoints
from modelscope_vitadapter.training.criterion.targets import Targets, targets_of
from tests.training.criterion.batches import (
    CLASS_WEIGHT,
    CLASSES,
    LAYERS,
    QUERIES,
    SIDE,
    Head,
    features_of,
    gradients,
    label_maps,
    losses_of,
    settings_with,
)

MAPS = label_maps([[0, 2], [1, 2, 3]])
SEEDS = [11, 12]
NAMES = [
    prefix + part
    for prefix in ("", "d0.", "d1.")
    for part in ("loss_cls", "loss_mask", "loss_dice")
]


def part_of(losses, part):
    return sum(value.item() for name, value in losses.items() if name.endswith(part))


def test_the_loss_is_the_sum_of_its_parts():
    losses = losses_of(Head(), features_of(2), MAPS, SEEDS)
    assert list(losses) == ["loss", *NAMES]
    assert losses["loss"].item() == pytest.approx(sum(losses[name].item() for name in NAMES))
    assert [name for name, value in losses.items() if value.requires_grad] == ["loss"]


@pytest.mark.parametrize("part", ["classes", "mask", "dice"])
def test_a_weight_scales_its_loss_in_every_prediction_and_no_other(part):
    name = {"classes": "loss_cls", "mask": "loss_mask", "dice": "loss_dice"}[part]
    plain = losses_of(Head(), features_of(2), MAPS, SEEDS)
    weights = {**vars(PartWeights()), part: 3 * getattr(PartWeights(), part)}
    other = losses_of(
        Head(), features_of(2), MAPS, SEEDS, settings_with(loss=PartWeights(**weights))
    )
    for key in NAMES:
        factor = 3 if key.endswith(name) else 1
        assert other[key].item() == pytest.approx(factor * plain[key].item(), rel=1e-5)


def test_weights_of_the_costs_decide_the_matching():
    """By class alone, and by mask alone: in each case the query that is made to fit is found."""
    maps = torch.zeros(1, 8, 8, dtype=torch.int16)
    class_logits = torch.zeros(1, 2, CLASSES + 1)
    class_logits[0, 0, 0] = 5.0  # query 0 has the class, query 1 the mask
    mask_logits = torch.stack([torch.full((8, 8), -5.0), torch.full((8, 8), 5.0)])[None]
    for weights, fitting in (
        (PartWeights(1, 0, 0), 0),
        (PartWeights(0, 1, 0), 1),
        (PartWeights(0, 0, 1), 1),
    ):
        masks = mask_logits.clone().requires_grad_()
        criterion = Mask2FormerCriterion(settings_with(cost=weights))
        losses = criterion([(class_logits, masks)], [targets_of(maps[0])], SeededPoints([1], "cpu"))
        losses["loss"].backward()
        touched = masks.grad.abs().sum(dim=(0, 2, 3)) > 0
        assert touched.nonzero().flatten().tolist() == [fitting]


def test_every_prediction_is_supervised():
    predictions = [
        (cls.detach().requires_grad_(), mask.detach().requires_grad_())
        for cls, mask in Head()(features_of(2))
    ]
    criterion = Mask2FormerCriterion(settings_with())
    targets = [targets_of(one) for one in MAPS]
    criterion(predictions, targets, SeededPoints(SEEDS, "cpu"))["loss"].backward()
    assert len(predictions) == LAYERS
    for class_logits, mask_logits in predictions:
        for image in range(2):
            assert (class_logits.grad[image].abs().sum(dim=1) > 0).all()
            assert mask_logits.grad[image].abs().sum() > 0


class EveryPixel:
    """The centres of all pixels in place of random points."""

    def __init__(self, side):
        y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        self.points = torch.stack([x + 0.5, y + 0.5], dim=-1).flatten(0, 1) / side

    def for_matching(self, layer, image, count):
        return self.points

    def for_loss(self, layer, image, mask_logits, settings):
        return self.points.expand(len(mask_logits), -1, -1)


def test_at_every_pixel_the_loss_is_the_dense_one():
    """One query for the one target: the losses written out over whole masks, without points."""
    mask = torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(0)) > 0.6
    class_logits = torch.randn(1, 1, CLASSES + 1, generator=torch.Generator().manual_seed(1))
    mask_logits = torch.randn(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    settings = settings_with(points=PointSettings(SIDE * SIDE))
    losses = Mask2FormerCriterion(settings)(
        [(class_logits, mask_logits)], [Targets(torch.tensor([2]), mask[None])], EveryPixel(SIDE)
    )
    truth, p = mask.float(), mask_logits[0, 0].sigmoid()
    dice = 1 - (2 * (p * truth).sum() + 1) / (p.sum() + truth.sum() + 1)
    expected = {
        "loss_cls": 2 * F.cross_entropy(class_logits[0], torch.tensor([2])),
        "loss_mask": 5 * F.binary_cross_entropy_with_logits(mask_logits[0, 0], truth),
        "loss_dice": 5 * dice,
    }
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value.item(), abs=1e-5)


def test_class_loss_is_divided_by_class_weights_and_mask_losses_by_masks():
    """An image twice in a batch has the loss of it alone."""
    head, features = Head(), features_of(1)
    alone = losses_of(head, features, MAPS[:1], [5])
    twice = losses_of(head, features.repeat(2, 1, 1, 1), MAPS[:1].repeat(2, 1, 1), [5, 5])
    for name in NAMES:
        assert twice[name].item() == pytest.approx(alone[name].item(), rel=1e-5)


def test_an_image_without_targets_teaches_no_object():
    empty = torch.full_like(MAPS[:1], -1)
    head = Head()
    losses = losses_of(head, features_of(1), empty, [5])
    losses["loss"].backward()
    class_logits = head(features_of(1))[-1][0]
    nothing = torch.full((QUERIES,), CLASSES)
    expected = 2 * F.cross_entropy(class_logits[0], nothing)
    assert losses["loss_cls"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert part_of(losses, "loss_mask") == part_of(losses, "loss_dice") == 0
    assert all(one.grad is not None for one in head.parameters())
    assert not head.masks.grad.any()
    assert head.classes.grad.any()


def test_an_image_without_targets_beside_one_with_adds_to_the_class_loss_only():
    maps = torch.stack([torch.full_like(MAPS[0], -1), MAPS[1]])
    head = Head()
    both = losses_of(head, features_of(2), maps, SEEDS)
    alone = losses_of(head, features_of(2)[1:], MAPS[1:], SEEDS[1:])
    for name in NAMES:
        same = both[name].item() == pytest.approx(alone[name].item(), rel=1e-5)
        assert same == (not name.endswith("loss_cls"))


def test_no_weight_on_no_object_and_no_target_is_no_loss():
    """The count that the class loss is divided by is 0 then."""
    settings = settings_with(class_weight=(1.0,) * CLASSES + (0.0,))
    head = Head()
    losses = losses_of(head, features_of(1), torch.full_like(MAPS[:1], -1), [5], settings)
    losses["loss"].backward()
    assert losses["loss"].item() == 0
    assert all(torch.isfinite(one.grad).all() for one in head.parameters())


def test_ignored_pixels_count_as_outside_of_every_target():
    """As in mmdet, where an ignored pixel is 0 in every mask."""
    other = MAPS.clone()
    other[MAPS == -1] = CLASSES + 3  # a class that is left out of the targets below
    found = []
    for maps in (MAPS, other):
        targets = [targets_of(one) for one in maps]
        known = [
            Targets(t.labels[t.labels < CLASSES], t.masks[t.labels < CLASSES]) for t in targets
        ]
        criterion = Mask2FormerCriterion(settings_with())
        losses = criterion(Head()(features_of(2)), known, SeededPoints(SEEDS, "cpu"))
        found.append([losses[name].item() for name in NAMES])
    assert found[0] == found[1]


def test_more_targets_than_queries_match_as_many_as_there_are_queries():
    maps = label_maps([[0, 1, 2, 3]])
    predictions = [(cls[:, :2], mask[:, :2]) for cls, mask in Head()(features_of(1))]
    counted = []

    def counts(x):
        counted.append(x.clone())
        return x

    losses = Mask2FormerCriterion(settings_with())(
        predictions, [targets_of(maps[0])], SeededPoints([1], "cpu"), sum_over_processes=counts
    )
    assert torch.isfinite(losses["loss"])
    assert [tuple(one.shape) for one in counted] == [(2, LAYERS)]
    assert counted[0][1].tolist() == [2.0] * LAYERS


@pytest.fixture
def costs(monkeypatch):
    """Matching costs of every call, one after the other."""
    seen = []

    def remember(costs):
        seen.append(torch.cat([one.flatten() for layer in costs for one in layer]))
        return match(costs)

    monkeypatch.setattr(criterion_module, "match", remember)
    return seen


def values(losses):
    return {name: value.item() for name, value in losses.items()}


def test_autocast_changes_nothing(costs):
    predictions = Head()(features_of(2))
    targets, points = [targets_of(one) for one in MAPS], SeededPoints(SEEDS, "cpu")
    criterion = Mask2FormerCriterion(settings_with())
    plain = criterion(predictions, targets, points)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        other = criterion(predictions, targets, points)
    assert values(plain) == values(other)
    assert torch.equal(costs[0], costs[1])


def test_half_precision_logits_are_computed_in_float32(costs):
    predictions = [(cls.bfloat16(), mask.bfloat16()) for cls, mask in Head()(features_of(2))]
    targets, points = [targets_of(one) for one in MAPS], SeededPoints(SEEDS, "cpu")
    criterion = Mask2FormerCriterion(settings_with())
    found = criterion(predictions, targets, points)
    exact = criterion([(cls.float(), mask.float()) for cls, mask in predictions], targets, points)
    assert found["loss"].dtype == costs[0].dtype == torch.float32
    assert values(found) == values(exact)
    assert torch.equal(costs[0], costs[1])


def test_logits_that_are_not_finite_give_a_loss_that_is_not():
    """The trainer sees it there, and knows which files the batch is made of."""
    for number in (0, 1):
        predictions = [[one.detach().clone() for one in pair] for pair in Head()(features_of(2))]
        predictions[1][number][:] = float("nan")
        losses = Mask2FormerCriterion(settings_with())(
            predictions, [targets_of(one) for one in MAPS], SeededPoints(SEEDS, "cpu")
        )
        assert torch.isnan(losses["loss"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": CLASSES + 1}, r"expected \(2, Q, 5\)"),
        ({"images": 3}, r"3 images' targets"),
        ({"queries": QUERIES + 1}, r"mask logits of shape"),
        ({"layers": 0}, "no predictions"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(change, message):
    case = SimpleNamespace(
        **{"classes": CLASSES, "images": 2, "queries": QUERIES, "layers": 1, **change}
    )
    predictions = [
        (torch.zeros(2, QUERIES, case.classes + 1), torch.zeros(2, case.queries, 4, 4))
    ] * case.layers
    targets = [targets_of(MAPS[0])] * case.images
    with pytest.raises(TrainingError, match=message):
        Mask2FormerCriterion(settings_with())(predictions, targets, SeededPoints([1] * 3, "cpu"))


def test_a_samples_gradient_does_not_depend_on_its_row():
    head = Head()
    features = features_of(2)
    losses_of(head, features, MAPS, SEEDS)["loss"].backward()
    first = gradients(head)
    head.zero_grad()
    losses_of(head, features.flip(0), MAPS.flip(0), SEEDS[::-1])["loss"].backward()
    for name, value in gradients(head).items():
        assert torch.allclose(value, first[name], atol=1e-5), name


def test_nothing_of_the_criterion_is_saved():
    criterion = Mask2FormerCriterion(settings_with())
    assert criterion.class_weight.tolist() == pytest.approx(list(CLASS_WEIGHT))
    assert not criterion.state_dict()
    assert not list(criterion.parameters())
