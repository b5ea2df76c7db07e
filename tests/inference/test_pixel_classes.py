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
@pytest.mark.parametrize("chances", [False, True])
def test_the_best_class_of_each_pixel(views, enlarged, chances, chunk_bytes, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_BYTES", chunk_bytes)
    before = [one.scores.clone() for one in views]
    classes, best = pixel_classes(views, probabilities=chances, enlarged=enlarged)
    expected = probabilities(views)
    assert torch.equal(classes[0], expected.argmax(-1))
    assert all(map(torch.equal, before, (one.scores for one in views)))
    if chances:
        torch.testing.assert_close(best[0], expected.amax(-1), rtol=0, atol=1e-6)
    else:
        assert best is None


@pytest.mark.parametrize("chunk_bytes", [1, 1000, 2**22])
def test_the_best_classes_and_the_probabilities_of_all(views, chunk_bytes, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_BYTES", chunk_bytes)
    expected = probabilities(views).permute(2, 0, 1)
    kept = torch.full((len(expected), 9 + expected[0].numel()), -1.0)

    def keep(first, chances):
        kept[:, first : first + chances.shape[1]] = chances

    count = min(3, len(expected))
    classes, best = pixel_classes(
        views, count=count, probabilities=True, enlarged=True, keep=keep, start=9
    )
    torch.testing.assert_close(kept[:, 9:].view_as(expected), expected, rtol=0, atol=1e-6)
    assert (kept[:, :9] == -1).all()
    order = kept[:, 9:].sort(dim=0, descending=True, stable=True)
    assert torch.equal(classes, order.indices[:count].view_as(classes))
    assert torch.equal(best, order.values[:count].view_as(best))


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
    classes, _ = pixel_classes([strip(scores, (9, 9))], enlarged=enlarged)
    assert (classes == 1).all()
    best, _ = pixel_classes([strip(scores, (9, 9))], count=5, probabilities=True, enlarged=enlarged)
    assert best[:, 4, 4].tolist() == [1, 2, 3, 4, 0]


def test_not_a_number_gives_some_class():
    scores = torch.full((3, 3, 4), torch.nan)
    classes, _ = pixel_classes([strip(scores, (9, 9))], enlarged=True)
    assert ((classes >= 0) & (classes < 4)).all()
