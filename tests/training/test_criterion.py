import pytest
import torch
from torch.nn import functional as F

from modelscope_vitadapter.config.criterion import (
    CriterionSettings,
    PartWeights,
)
from modelscope_vitadapter.training import criterion as criterion_module
from modelscope_vitadapter.training.criterion import Mask2FormerCriterion, targets_of
from modelscope_vitadapter.training.losses import SeededPoints
from modelscope_vitadapter.training.matcher import match
from tests.training.shared_batches import (
    CLASS_WEIGHT,
    CLASSES,
    QUERIES,
    SETTINGS,
    Head,
    features_of,
    gradients,
    label_maps,
    losses_of,
)

MAPS = label_maps([[0, 2], [1, 2, 3]])
NOTHING = torch.full_like(MAPS[:1], -1)
SEEDS = [11, 12]
PARTS = {"classes": "loss_cls", "mask": "loss_mask", "dice": "loss_dice"}
NAMES = [prefix + part for prefix in ("", "d0.", "d1.") for part in PARTS.values()]


def values(losses):
    return {name: value.item() for name, value in losses.items()}


def test_each_class_is_one_target_and_ignored_pixels_are_in_none():
    maps = torch.tensor([[[7, -1, 2], [2, 7, 0]], [[-1, -1, -1], [-1, -1, -1]]]).short()
    targets, none = targets_of(maps, "cpu")
    assert targets.labels.tolist() == [0, 2, 7]
    assert targets.masks.dtype == torch.bool
    assert targets.masks.int().tolist() == [
        [[0, 0, 0], [0, 0, 1]],
        [[0, 0, 1], [1, 0, 0]],
        [[1, 0, 0], [0, 1, 0]],
    ]
    assert none.masks.shape == (0, 2, 3)


def test_the_loss_is_the_sum_of_its_parts():
    losses = losses_of(Head(), features_of(2), MAPS, SEEDS)
    assert list(losses) == ["loss", *NAMES]
    assert losses["loss"].item() == pytest.approx(sum(losses[name].item() for name in NAMES))
    assert [name for name, value in losses.items() if value.requires_grad] == ["loss"]


@pytest.mark.parametrize("part", PARTS)
def test_a_weight_scales_its_loss_in_every_prediction_and_no_other(part):
    weights = PartWeights(**{part: 3 * getattr(PartWeights(), part)})
    settings = CriterionSettings(CLASS_WEIGHT, loss=weights, points=SETTINGS.points)
    plain = losses_of(Head(), features_of(2), MAPS, SEEDS)
    other = losses_of(Head(), features_of(2), MAPS, SEEDS, settings)
    for key in NAMES:
        factor = 3 if key.endswith(PARTS[part]) else 1
        assert other[key].item() == pytest.approx(factor * plain[key].item(), rel=1e-5)


def test_an_image_twice_in_a_batch_has_the_loss_of_it_alone():
    """Losses are divided by class weights and by masks."""
    head, features = Head(), features_of(1)
    alone = losses_of(head, features, MAPS[:1], [5])
    twice = losses_of(head, features.repeat(2, 1, 1, 1), MAPS[:1].repeat(2, 1, 1), [5, 5])
    assert values(twice) == pytest.approx(values(alone), rel=1e-5)


def test_an_image_without_targets_teaches_no_object():
    head = Head()
    losses = losses_of(head, features_of(1), NOTHING, [5])
    losses["loss"].backward()
    expected = 2 * F.cross_entropy(head(features_of(1))[-1][0][0], torch.full((QUERIES,), CLASSES))
    assert losses["loss_cls"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert all(losses[name].item() == 0 for name in NAMES if not name.endswith("cls"))
    assert head.classes.grad.any()
    assert not head.masks.grad.any()  # a gradient, of zeros: several processes wait for each

    both = losses_of(head, features_of(2), torch.cat([NOTHING, MAPS[1:]]), SEEDS)
    alone = losses_of(head, features_of(2)[1:], MAPS[1:], SEEDS[1:])
    for name in NAMES:
        same = both[name].item() == pytest.approx(alone[name].item(), rel=1e-5)
        assert same == (not name.endswith("loss_cls"))


def test_no_weight_on_no_object_and_no_target_is_no_loss():
    """The count that the class loss is divided by is 0 then."""
    settings = CriterionSettings((1.0,) * CLASSES + (0.0,), points=SETTINGS.points)
    head = Head()
    losses = losses_of(head, features_of(1), NOTHING, [5], settings)
    losses["loss"].backward()
    assert losses["loss"].item() == 0
    assert all(torch.isfinite(one.grad).all() for one in head.parameters())


def test_more_targets_than_queries_match_as_many_as_there_are_queries():
    predictions = [
        (cls[:, :2].detach(), mask[:, :2].detach()) for cls, mask in Head()(features_of(1))
    ]
    for pair in predictions:
        pair[1].requires_grad_()
    targets = targets_of(label_maps([[0, 1, 2, 3]]), "cpu")
    loss = Mask2FormerCriterion(SETTINGS)(predictions, targets, SeededPoints([1], "cpu"))["loss"]
    loss.backward()
    assert torch.isfinite(loss)
    assert all(pair[1].grad.flatten(2).any(dim=2).all() for pair in predictions)


def test_it_computes_in_float32_whatever_the_logits_and_autocast(monkeypatch):
    costs = []

    def remember(found):
        costs.append(torch.cat([one.flatten() for layer in found for one in layer]))
        return match(found)

    monkeypatch.setattr(criterion_module, "match", remember)
    predictions = [(cls.bfloat16(), mask.bfloat16()) for cls, mask in Head()(features_of(2))]
    targets, points = targets_of(MAPS, "cpu"), SeededPoints(SEEDS, "cpu")
    criterion = Mask2FormerCriterion(SETTINGS)
    exact = criterion([(cls.float(), mask.float()) for cls, mask in predictions], targets, points)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = criterion(predictions, targets, points)
    assert found["loss"].dtype == torch.float32
    assert values(found) == values(exact)
    assert torch.equal(costs[0], costs[1])


@pytest.mark.parametrize("number", [0, 1])
def test_logits_that_are_not_finite_give_a_loss_that_is_not(number):
    """The trainer sees it there, and knows which files the batch is made of."""
    predictions = [[one.detach().clone() for one in pair] for pair in Head()(features_of(2))]
    predictions[1][number][:] = float("nan")
    losses = Mask2FormerCriterion(SETTINGS)(
        predictions, targets_of(MAPS, "cpu"), SeededPoints(SEEDS, "cpu")
    )
    assert torch.isnan(losses["loss"])


def test_a_samples_gradient_does_not_depend_on_its_row():
    first, second = Head(), Head()
    losses_of(first, features_of(2), MAPS, SEEDS)["loss"].backward()
    losses_of(second, features_of(2).flip(0), MAPS.flip(0), SEEDS[::-1])["loss"].backward()
    for name, value in gradients(second).items():
        assert torch.allclose(value, gradients(first)[name], atol=1e-5), name
