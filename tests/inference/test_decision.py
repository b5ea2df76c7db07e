import pytest
import torch

from modelscope_vitadapter.inference import decision
from modelscope_vitadapter.inference.decision import UNCLEAR, Field, clear_classes, decide
from modelscope_vitadapter.inference.resampling import bilinear_taps, sample
from tests.support.networks import random_image


def field(scores, size, *, flipped=(False, False), align_corners=False):
    """All scores of an input `(h, w, K)` for a picture of `size`."""
    taps = []
    for of, to, flip in zip(scores.shape, size, flipped, strict=False):
        positions = torch.arange(to).flip(0) if flip else torch.arange(to)
        taps.append(bilinear_taps(positions, of, to, align_corners=align_corners))
    return Field(scores, *taps)


def smooth_scores(classes=6, size=(12, 15), seed=0):
    """Scores in whose cells one class often is ahead at all corners."""
    coarse = 4 * random_image(1, classes, 3, 4, seed=seed)
    fine = torch.nn.functional.interpolate(coarse, size, mode="bicubic")
    return fine[0].permute(1, 2, 0).contiguous()


def probabilities(fields):
    """`(H, W, K)`: resized, softmax, mean."""
    parts = [
        sample(one.scores, one.rows.view(-1, 1), one.columns.view(1, -1)).softmax(-1)
        for one in fields
    ]
    return torch.stack(parts).mean(0)


FIELDS = {
    "one": lambda: [field(smooth_scores(), (50, 61))],
    "align": lambda: [field(smooth_scores(), (50, 61), align_corners=True)],
    "flipped": lambda: [field(smooth_scores(), (50, 61), flipped=(True, True))],
    "several": lambda: [
        field(smooth_scores(), (50, 61)),
        field(smooth_scores(seed=1), (50, 61), flipped=(False, True)),
        field(smooth_scores(size=(20, 25), seed=2), (50, 61), flipped=(True, False)),
    ],
    "one pixel": lambda: [field(smooth_scores(size=(1, 1)), (50, 61))],
    "a line": lambda: [field(smooth_scores(size=(1, 15)), (7, 61))],
    "one class": lambda: [field(smooth_scores(classes=1), (50, 61))],
    "two classes": lambda: [field(smooth_scores(classes=2), (50, 61))],
}


@pytest.fixture(params=FIELDS.values(), ids=FIELDS.keys())
def fields(request):
    return request.param()


@pytest.mark.parametrize("chunk_bytes", [1, 1000, 2**22])
@pytest.mark.parametrize("clear", [False, True])
def test_the_best_class_of_each_pixel(fields, clear, chunk_bytes, monkeypatch):
    monkeypatch.setattr(decision, "CHUNK_BYTES", chunk_bytes)
    before = [one.scores.clone() for one in fields]
    classes, chances = decide(fields, confidence=False, clear=clear)
    assert torch.equal(classes, probabilities(fields).argmax(-1))
    assert chances.numel() == 0
    assert all(map(torch.equal, before, (one.scores for one in fields)))


@pytest.mark.parametrize("clear", [False, True])
def test_probabilities_of_the_best_class(fields, clear):
    classes, chances = decide(fields, confidence=True, clear=clear)
    expected = probabilities(fields)
    assert torch.equal(classes, expected.argmax(-1))
    torch.testing.assert_close(chances, expected.amax(-1), rtol=0, atol=1e-6)


def test_most_pixels_of_smooth_scores_are_clear_and_right():
    scores = smooth_scores()
    turned = field(0.9 * scores.flip(1), (50, 61), flipped=(False, True))
    for fields in ([field(scores, (50, 61))], [field(scores, (50, 61)), turned]):
        classes = clear_classes(fields)
        is_clear = classes != UNCLEAR
        assert 0.1 < is_clear.float().mean() < 0.95
        assert torch.equal(classes[is_clear], probabilities(fields).argmax(-1)[is_clear])


def test_what_is_almost_equal_is_not_clear():
    scores = torch.zeros(4, 4, 3)
    scores[..., 1] = 1e-7
    assert (clear_classes([field(scores, (9, 9))]) == UNCLEAR).all()
    scores[..., 1] = 1e-3
    assert (clear_classes([field(scores, (9, 9))]) == 1).all()
    scores[..., 2] = 1e4
    scores[..., 1] = 1e4 - 1e-3
    assert (clear_classes([field(scores, (9, 9))]) == UNCLEAR).all()


@pytest.mark.parametrize("clear", [False, True])
def test_ties_go_to_the_smaller_class(clear):
    """As a softmax makes them: below float32's resolution there, not of the scores."""
    scores = torch.zeros(4, 4, 5)
    scores[..., 0] = -1
    scores[..., 3] = 1e-9
    classes, _ = decide([field(scores, (9, 9))], confidence=False, clear=clear)
    assert (classes == 1).all()


def test_not_a_number_gives_some_class():
    scores = torch.full((3, 3, 4), torch.nan)
    classes, _ = decide([field(scores, (9, 9))], confidence=False, clear=True)
    assert ((classes >= 0) & (classes < 4)).all()
