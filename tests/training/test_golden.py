"""The criterion's answer is mmdet 2.28's, with the same random points."""

from pathlib import Path

import numpy as np
import pytest
import torch

from modelscope_vitadapter.config.criterion import parse_criterion
from modelscope_vitadapter.config.reader import read_config
from modelscope_vitadapter.training.criterion import Mask2FormerCriterion, Targets
from modelscope_vitadapter.training.losses import sample_maps
from modelscope_vitadapter.training.matcher import match, matching_costs

GOLDEN = Path(__file__).parents[1] / "golden"
CLASSES = 17


class GivenPoints:
    """The points that the golden answer was computed with."""

    def __init__(self, matching, loss, targets):
        self.matching = matching[:, :, 0]
        self.loss = loss
        self.ends = np.cumsum([0, *(len(target.labels) for target in targets)])

    def for_matching(self, layer, image, count):
        return self.matching[layer, image]

    def for_loss(self, layer, image, mask_logits, settings):
        own = self.loss[layer, self.ends[image] : self.ends[image + 1]]
        assert len(own) == len(mask_logits)
        return own


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "criterion" / "two_images.npz") as stored:
        return {name: stored[name] for name in stored.files}


@pytest.fixture(scope="module")
def case(golden):
    """Settings, logits, targets and points of the golden answer."""
    given = {name: torch.from_numpy(value) for name, value in golden.items()}
    settings = parse_criterion(read_config(GOLDEN / "base" / "mmcv_config.py"), CLASSES)
    targets = [Targets(given[f"target{i}_labels"], given[f"target{i}_masks"]) for i in (0, 1)]
    logits = [given[name].requires_grad_() for name in ("class_logits", "mask_logits")]
    points = GivenPoints(given["match_points"], given["loss_points"], targets)
    return settings, logits, targets, points


def test_matches_are_equal(golden, case):
    settings, (class_logits, mask_logits), targets, points = case
    expected = golden["matched_target"]
    found = np.full(expected.shape, -1)
    for layer, image in np.ndindex(expected.shape[:2]):
        where = points.for_matching(layer, image, 0)
        cost = matching_costs(
            class_logits[layer, image],
            sample_maps(mask_logits[layer, image], where),
            targets[image].labels,
            sample_maps(targets[image].masks, where),
            settings,
        )
        (((queries, chosen),),) = match([[cost]])
        found[layer, image, queries] = chosen
    assert np.array_equal(found, expected)


def test_losses_and_gradients_are_equal(golden, case):
    settings, logits, targets, points = case
    losses = Mask2FormerCriterion(settings)(list(zip(*logits, strict=True)), targets, points)
    parts = {name.removeprefix("loss/"): golden[name] for name in golden if name[:5] == "loss/"}
    expected = {name: float(value) for name, value in {**parts, "loss": golden["total"]}.items()}
    assert {name: value.item() for name, value in losses.items()} == pytest.approx(
        expected, abs=1e-4
    )
    losses["loss"].backward()
    for name, tensor in zip(("class_logits", "mask_logits"), logits, strict=True):
        gradient = golden[f"grad_{name}"]
        assert np.abs(gradient).max() > 1e-3
        assert np.abs(tensor.grad.numpy() - gradient).max() < 1e-6
