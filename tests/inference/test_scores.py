import pytest
import torch

from modelscope_vitadapter.inference.scores import (
    WindowScores,
    averaged_scores,
    semantic_scores,
    window_scores,
)
from modelscope_vitadapter.inference.windows import Window
from tests.support.networks import random_image


def test_semantic_scores_formula():
    class_logits, mask_logits = random_image(2, 3, 5), random_image(2, 3, 4, 6, seed=1)
    scores = semantic_scores(class_logits, mask_logits)
    assert scores.shape == (2, 4, 4, 6)
    expected = torch.zeros(2, 4, 4, 6)
    for b in range(2):
        for q in range(3):
            weights = class_logits[b, q].exp() / class_logits[b, q].exp().sum()
            mask = 1 / (1 + (-mask_logits[b, q]).exp())
            for k in range(4):
                expected[b, k] += weights[k] * mask
    torch.testing.assert_close(scores, expected)


def logits(height, width, seed=0, queries=5, classes=3):
    """What a network gives for one window: `(Q, K + 1)` and `(Q, h, w)`."""
    return (
        2 * random_image(queries, classes + 1, seed=seed),
        2 * random_image(queries, height, width, seed=seed + 1),
    )


def plain_scores(class_logits, mask_logits, size, align_corners):
    """`window_scores` of one window, classes last."""
    scores = window_scores(class_logits[None], mask_logits[None], size, align_corners=align_corners)
    return scores[0].permute(1, 2, 0)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(32, 64), (31, 33), (1, 40), (32, 1)])
def test_rows_of_a_window(size, align_corners, transposed):
    class_logits, mask_logits = logits(8, 16)
    expected = plain_scores(class_logits, mask_logits, size, align_corners)
    if transposed:
        expected = expected.transpose(0, 1)
    height, width = expected.shape[:2]
    prediction = WindowScores.of(class_logits, mask_logits, transposed=transposed)
    for rows in (range(height), range(height // 3, height // 3 + 1), range(height - 1, height)):
        found = prediction.scores(rows, width, align_corners=align_corners)
        torch.testing.assert_close(found, expected[rows.start : rows.stop], rtol=0, atol=1e-6)


def test_a_prediction_holds_nothing_of_its_batch():
    class_logits, mask_logits = random_image(4, 1, 3), random_image(4, 1, 2, 2)
    before = mask_logits.clone()
    prediction = WindowScores.of(class_logits[2], mask_logits[2])
    assert prediction.masks.untyped_storage().nbytes() == 4 * 4
    assert prediction.classes.untyped_storage().nbytes() <= 3 * 4
    assert torch.equal(mask_logits, before)


WINDOWS = [Window(0, 0, 8, 8), Window(0, 5, 8, 8), Window(6, 0, 8, 8), Window(6, 5, 8, 8)]


def test_scores_are_averaged_where_windows_overlap():
    found = [logits(8, 8, seed=i) for i in range(4)]
    total, count = torch.zeros(14, 13, 3), torch.zeros(14, 13, 1)
    for window, one in zip(WINDOWS, found, strict=True):
        place = slice(window.top, window.top + 8), slice(window.left, window.left + 8)
        total[place] += plain_scores(*one, (8, 8), align_corners=False)
        count[place] += 1
    parts = list(zip(WINDOWS, [WindowScores.of(*one) for one in found], strict=True))
    for rows, reached in (
        (range(3, 9), parts),
        (range(1, 5), parts[:2]),
        (range(8, 14), parts[2:]),
    ):
        scores = averaged_scores(reached, rows, 13, align_corners=False)
        expected = (total / count)[rows.start : rows.stop]
        torch.testing.assert_close(scores, expected, rtol=0, atol=1e-6)
