import pytest
import torch

from modelscope_vitadapter.inference import pixel_classes as module
from modelscope_vitadapter.inference.interpolation import interpolate, interpolation_weights
from modelscope_vitadapter.inference.pixel_classes import (
    UNCLEAR,
    StripScores,
    clear_classes,
    pixel_classes,
)
from tests.support.networks import random_image


def strip(scores, size, *, flipped=(False, False)):
    """All scores of a view `(h, w, K)` for an image of `size`."""
    weights = []
    for of, to, flip in zip(scores.shape, size, flipped, strict=False):
        positions = torch.arange(to).flip(0) if flip else torch.arange(to)
        weights.append(interpolation_weights(positions, of, to))
    return StripScores(scores, *weights)


def smooth_scores(classes=6, size=(12, 15), seed=0):
    """Scores in whose cells one class often is ahead at all corners."""
    coarse = 4 * random_image(1, classes, 3, 4, seed=seed)
    fine = torch.nn.functional.interpolate(coarse, size, mode="bicubic")
    return fine[0].permute(1, 2, 0).contiguous()


def probabilities(views):
    """`(H, W, K)`: interpolated, softmax, mean."""
    parts = [
        interpolate(one.scores, one.rows.view(-1, 1), one.columns.view(1, -1)).softmax(-1)
        for one in views
    ]
    return torch.stack(parts).mean(0)


VIEWS = {
    "one": lambda: [strip(smooth_scores(), (50, 61))],
    "several": lambda: [
        strip(smooth_scores(), (50, 61)),
        strip(smooth_scores(seed=1), (50, 61), flipped=(False, True)),
        strip(smooth_scores(size=(20, 25), seed=2), (50, 61), flipped=(True, False)),
    ],
    "one pixel": lambda: [strip(smooth_scores(size=(1, 1)), (50, 61))],
    "a line": lambda: [strip(smooth_scores(size=(1, 15)), (7, 61))],
    "one class": lambda: [strip(smooth_scores(classes=1), (50, 61))],
}


@pytest.fixture(params=VIEWS.values(), ids=VIEWS.keys())
def views(request):
    return request.param()


@pytest.mark.parametrize("chunk_bytes", [1, 1000, 2**22])
@pytest.mark.parametrize("enlarged", [False, True])
@pytest.mark.parametrize("confidence", [False, True])
def test_the_best_class_of_each_pixel(views, enlarged, confidence, chunk_bytes, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_BYTES", chunk_bytes)
    before = [one.scores.clone() for one in views]
    classes, chances = pixel_classes(views, confidence=confidence, enlarged=enlarged)
    expected = probabilities(views)
    assert torch.equal(classes, expected.argmax(-1))
    assert all(map(torch.equal, before, (one.scores for one in views)))
    if confidence:
        torch.testing.assert_close(chances, expected.amax(-1), rtol=0, atol=1e-6)
    else:
        assert chances is None


def test_most_pixels_of_smooth_scores_are_clear_and_right():
    scores = smooth_scores()
    turned = strip(0.9 * scores.flip(1), (50, 61), flipped=(False, True))
    for views in ([strip(scores, (50, 61))], [strip(scores, (50, 61)), turned]):
        classes = clear_classes(views)
        is_clear = classes != UNCLEAR
        assert 0.1 < is_clear.float().mean() < 0.95
        assert torch.equal(classes[is_clear], probabilities(views).argmax(-1)[is_clear])


@pytest.mark.parametrize(
    ("low", "high", "clear"), [(0, 1e-7, False), (0, 1e-3, True), (1e4 - 1e-3, 1e4, False)]
)
def test_what_is_almost_equal_is_not_clear(low, high, clear):
    scores = torch.zeros(4, 4, 3)
    scores[..., 1], scores[..., 2] = low, high
    assert (clear_classes([strip(scores, (9, 9))]) == (2 if clear else UNCLEAR)).all()


@pytest.mark.parametrize("enlarged", [False, True])
def test_ties_go_to_the_smaller_class(enlarged):
    """As a softmax makes them: below float32's resolution there, not of the scores."""
    scores = torch.zeros(4, 4, 5)
    scores[..., 0] = -1
    scores[..., 3] = 1e-9
    classes, _ = pixel_classes([strip(scores, (9, 9))], confidence=False, enlarged=enlarged)
    assert (classes == 1).all()


def test_not_a_number_gives_some_class():
    scores = torch.full((3, 3, 4), torch.nan)
    classes, _ = pixel_classes([strip(scores, (9, 9))], confidence=False, enlarged=True)
    assert ((classes >= 0) & (classes < 4)).all()
