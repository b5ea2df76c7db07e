import pytest
import torch
from torch.nn import functional as F

from modelscope_vitadapter.config.criterion import CriterionSettings, PartWeights, PointSettings
from modelscope_vitadapter.training.criterion import Mask2FormerCriterion, targets_of
from modelscope_vitadapter.training.losses import SeededPoints

CLASSES, QUERIES, LAYERS, SIDE, STRIDE = 4, 6, 3, 8, 4
CLASS_WEIGHT = (1.0, 0.5, 2.0, 1.5, 0.1)
SETTINGS = CriterionSettings(CLASS_WEIGHT, points=PointSettings(64, 3.0, 0.75))
SEEDS = [11, 12]
PARTS = {"classes": "loss_cls", "mask": "loss_mask", "dice": "loss_dice"}
NAMES = [prefix + part for prefix in ("d0.", "d1.", "") for part in PARTS.values()]


def label_maps(classes_of_images):
    """A label map for each image, in blocks of the given classes and of ignored pixels."""
    maps = []
    for number, classes in enumerate(classes_of_images):
        generator = torch.Generator().manual_seed(number)
        choice = torch.tensor([-1, *classes], dtype=torch.int16)
        cells = torch.randint(len(choice), (4, 4), generator=generator)
        for i in range(len(classes)):
            cells[i // 4, i % 4] = i + 1
        side = SIDE * STRIDE // 4
        maps.append(choice[cells].repeat_interleave(side, 0).repeat_interleave(side, 1))
    return torch.stack(maps)


MAPS = label_maps([[0, 2], [1, 2, 3]])
NOTHING = torch.full_like(MAPS[:1], -1)


def predictions_of(rows=slice(None), queries=QUERIES):
    """Class and mask logits of each layer, for some of two images."""
    generator = torch.Generator().manual_seed(1)
    shapes = (2, queries, CLASSES + 1), (2, queries, SIDE, SIDE)
    return [
        [torch.randn(shape, generator=generator)[rows].requires_grad_() for shape in shapes]
        for _ in range(LAYERS)
    ]


def losses_of(predictions, maps=MAPS, seeds=SEEDS, settings=SETTINGS):
    points = SeededPoints(seeds, "cpu")
    return Mask2FormerCriterion(settings)(predictions, targets_of(maps, "cpu"), points)


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


def test_only_the_loss_is_differentiated_and_it_is_the_sum_of_its_parts():
    losses = losses_of(predictions_of())
    assert list(losses) == ["loss", *NAMES]
    assert losses["loss"].item() == pytest.approx(sum(losses[name].item() for name in NAMES))
    assert [name for name, value in losses.items() if value.requires_grad] == ["loss"]


@pytest.mark.parametrize("part", PARTS)
def test_a_weight_scales_its_loss_in_every_prediction_and_no_other(part):
    weights = PartWeights(**{part: 3 * getattr(PartWeights(), part)})
    settings = CriterionSettings(CLASS_WEIGHT, loss=weights, points=SETTINGS.points)
    plain, other = (losses_of(predictions_of(), settings=one) for one in (SETTINGS, settings))
    for key in NAMES:
        factor = 3 if key.endswith(PARTS[part]) else 1
        assert other[key].item() == pytest.approx(factor * plain[key].item(), rel=1e-5)


def test_an_image_twice_in_a_batch_has_the_loss_of_it_alone():
    """Losses are divided by class weights and by masks."""
    alone = losses_of(predictions_of([0]), MAPS[:1], [5])
    twice = losses_of(predictions_of([0, 0]), MAPS[[0, 0]], [5, 5])
    assert values(twice) == pytest.approx(values(alone), rel=1e-5)


def test_an_image_without_targets_teaches_no_object():
    predictions = predictions_of([0])
    losses = losses_of(predictions, NOTHING, [5])
    losses["loss"].backward()
    class_logits, mask_logits = predictions[-1]
    expected = 2 * F.cross_entropy(class_logits[0], torch.full((QUERIES,), CLASSES))
    assert losses["loss_cls"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert all(losses[name].item() == 0 for name in NAMES if not name.endswith("cls"))
    assert class_logits.grad.any()
    assert not mask_logits.grad.any()  # a gradient, of zeros: several processes wait for each

    both = losses_of(predictions_of(), torch.cat([NOTHING, MAPS[1:]]))
    alone = losses_of(predictions_of([1]), MAPS[1:], SEEDS[1:])
    for name in NAMES:
        same = both[name].item() == pytest.approx(alone[name].item(), rel=1e-5)
        assert same == (not name.endswith("loss_cls"))


def test_no_weight_on_no_object_and_no_target_is_no_loss():
    """The count that the class loss is divided by is 0 then."""
    settings = CriterionSettings((1.0,) * CLASSES + (0.0,), points=SETTINGS.points)
    predictions = predictions_of([0])
    losses = losses_of(predictions, NOTHING, [5], settings)
    losses["loss"].backward()
    assert losses["loss"].item() == 0
    assert all(torch.isfinite(one.grad).all() for pair in predictions for one in pair)


def test_more_targets_than_queries_match_as_many_as_there_are_queries():
    predictions = predictions_of([0], queries=2)
    loss = losses_of(predictions, label_maps([[0, 1, 2, 3]]), [1])["loss"]
    loss.backward()
    assert torch.isfinite(loss)
    assert all(mask_logits.grad.flatten(2).any(dim=2).all() for _, mask_logits in predictions)


def test_it_computes_in_float32_whatever_the_logits_and_autocast():
    reduced = [[one.bfloat16() for one in pair] for pair in predictions_of()]
    exact = losses_of([[one.float() for one in pair] for pair in reduced])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = losses_of(reduced)
    assert found["loss"].dtype == torch.float32
    assert values(found) == values(exact)


@pytest.mark.parametrize("number", [0, 1])
def test_logits_that_are_not_finite_give_a_loss_that_is_not(number):
    """The trainer sees it there, and knows which files the batch is made of."""
    predictions = predictions_of()
    predictions[1][number].detach()[:] = float("nan")
    assert torch.isnan(losses_of(predictions)["loss"])


def test_a_samples_gradient_does_not_depend_on_its_row():
    first, second = predictions_of(), predictions_of([1, 0])
    losses_of(first)["loss"].backward()
    losses_of(second, MAPS.flip(0), SEEDS[::-1])["loss"].backward()
    for pairs in zip(first, second, strict=True):
        for one, other in zip(*pairs, strict=True):
            assert torch.allclose(one.grad, other.grad.flip(0), atol=1e-6)
