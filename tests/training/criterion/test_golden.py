"""The criterion's answer is mmdet 2.28's, with the same random points."""

from pathlib import Path

import numpy as np
import pytest
import torch

from modelscope_vitadapter.config.criterion import parse_criterion
from modelscope_vitadapter.config.reader import read_config
from modelscope_vitadapter.training.criterion import criterion as criterion_module
from modelscope_vitadapter.training.criterion.criterion import Mask2FormerCriterion
from modelscope_vitadapter.training.criterion.targets import Targets

GOLDEN = Path(__file__).parents[2] / "golden"
CLASSES = 17


class GivenPoints:
    """The points that the golden answer was computed with."""

    def __init__(self, matching, loss, targets):
        self.matching = torch.from_numpy(matching)[:, :, 0]
        self.loss = torch.from_numpy(loss)
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
def answer(golden):
    """Losses, gradients and the matches that the criterion found."""
    settings = parse_criterion(read_config(GOLDEN / "base" / "mmcv_config.py"), CLASSES)
    targets = [
        Targets(
            torch.from_numpy(golden[f"target{i}_labels"]),
            torch.from_numpy(golden[f"target{i}_masks"]).bool(),
        )
        for i in (0, 1)
    ]
    logits = [
        torch.from_numpy(golden[name]).requires_grad_() for name in ("class_logits", "mask_logits")
    ]
    points = GivenPoints(golden["match_points"], golden["loss_points"], targets)
    found = []
    real = criterion_module.match

    def match(costs):
        found.append(real(costs))
        return found[-1]

    criterion_module.match = match
    try:
        losses = Mask2FormerCriterion(settings)(list(zip(*logits, strict=True)), targets, points)
    finally:
        criterion_module.match = real
    losses["loss"].backward()
    return losses, [one.grad.numpy() for one in logits], found[0]


def test_matches_are_equal(golden, answer):
    matches = answer[2]
    found = torch.full(golden["matched_target"].shape, -1)
    found[matches.layers, matches.images, matches.queries] = matches.targets
    assert np.array_equal(found.numpy(), golden["matched_target"])


def test_every_part_of_the_loss_is_equal(golden, answer):
    losses = answer[0]
    expected = {
        name.removeprefix("loss/"): float(golden[name])
        for name in golden
        if name.startswith("loss/")
    }
    assert {name: value.item() for name, value in losses.items()} == pytest.approx(
        {**expected, "loss": float(golden["total"])}, abs=1e-4
    )


@pytest.mark.parametrize(("number", "name"), [(0, "class_logits"), (1, "mask_logits")])
def test_gradients_are_equal(golden, answer, number, name):
    found, expected = answer[1][number], golden[f"grad_{name}"]
    assert np.abs(expected).max() > 1e-3
    assert np.abs(found - expected).max() < 1e-6
