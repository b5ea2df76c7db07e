import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from modelscope_vitadapter.inference.bands import ScoreMap, decide, resize_rows
from tests.support.networks import random_image

SIDES = st.integers(1, 40)


def resized(scores, size, align_corners):
    return F.interpolate(scores[None], size, mode="bilinear", align_corners=align_corners)[0]


@settings(max_examples=150, deadline=None)
@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.booleans(), st.data())
def test_rows_equal_interpolate(source, size, align_corners, data):
    scores = random_image(3, *source)
    start = data.draw(st.integers(0, size[0] - 1))
    stop = data.draw(st.integers(start + 1, size[0]))
    found = resize_rows(scores, size, range(start, stop), align_corners=align_corners)
    expected = resized(scores, size, align_corners)[:, start:stop]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    ("source", "size"),
    [((64, 96), (300, 451)), ((64, 96), (31, 40)), ((896, 32), (1500, 7)), ((32, 896), (9, 1371))],
)
def test_rows_of_scores_equal_interpolate_closely(source, size, align_corners):
    scores = torch.rand(2, *source, generator=torch.Generator().manual_seed(0))
    found = resize_rows(scores, size, range(size[0]), align_corners=align_corners)
    expected = resized(scores.double(), size, align_corners)
    whole = resized(scores, size, align_corners)
    bound = max(1e-6, 2 * float((whole - expected).abs().max()))  # float32's own noise
    assert float((found - expected).abs().max()) < bound


def test_equal_sizes_are_exact():
    scores = random_image(4, 9, 11)
    assert torch.equal(
        resize_rows(scores, (9, 11), range(2, 7), align_corners=False), scores[:, 2:7]
    )


def whole_decision(score_maps, size, align_corners):
    """All scores at the picture's size at once, as the built-in model has them."""
    total = 0
    for score_map in score_maps:
        part = resized(score_map.scores, size, align_corners).softmax(0)
        if score_map.flip == "horizontal":
            part = part.flip(2)
        if score_map.flip == "vertical":
            part = part.flip(1)
        total = total + part
    return total / len(score_maps)


def assert_same_decision(decision, probabilities):
    """The best class, where the best two are further apart than float32's noise."""
    best = probabilities.topk(min(2, len(probabilities)), dim=0).values
    clear = best[0] - best[-1] > 1e-5 if len(best) > 1 else torch.ones_like(best[0], dtype=bool)
    assert clear.float().mean() > 0.99
    expected = probabilities.argmax(0)
    assert torch.equal(decision.class_map[clear], expected[clear])
    assert decision.class_map.dtype == torch.int64


SIZES = [(12, 20), (12, 47), (31, 20), (31, 47), (5, 7), (5, 60), (1, 1), (1, 20), (12, 1)]


@pytest.mark.parametrize("band_bytes", [1, 4 * 5 * 47 * 3, 2**26])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_bands_decide_as_the_whole(size, align_corners, band_bytes):
    maps = [ScoreMap(4 * random_image(5, 12, 20))]
    decision = decide(
        maps, size, align_corners=align_corners, confidence=True, band_bytes=band_bytes
    )
    probabilities = whole_decision(maps, size, align_corners)
    assert_same_decision(decision, probabilities)
    assert decision.confidence.dtype == torch.float16
    assert decision.confidence.shape == decision.class_map.shape == size
    torch.testing.assert_close(
        decision.confidence.float(), probabilities.amax(0), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("flip", [None, "horizontal", "vertical"])
@pytest.mark.parametrize("size", SIZES)
def test_flipped_maps_are_turned_back(size, flip):
    maps = [ScoreMap(4 * random_image(5, 12, 20), flip)]
    decision = decide(maps, size, band_bytes=4 * 5 * 20 * 2)
    assert_same_decision(decision, whole_decision(maps, size, align_corners=False))


@pytest.mark.parametrize("size", [(12, 20), (23, 31), (6, 9)])
def test_augmentations_are_averaged_after_softmax(size):
    maps = [
        ScoreMap(6 * random_image(5, 12, 20)),
        ScoreMap(6 * random_image(5, 12, 20, seed=1), "horizontal"),
        ScoreMap(6 * random_image(5, 18, 30, seed=2)),
        ScoreMap(6 * random_image(5, 18, 30, seed=3), "vertical"),
    ]
    decision = decide(maps, size, confidence=True, band_bytes=1000)
    probabilities = whole_decision(maps, size, align_corners=False)
    assert_same_decision(decision, probabilities)
    torch.testing.assert_close(
        decision.confidence.float(), probabilities.amax(0), rtol=1e-3, atol=1e-3
    )
    alone = decide(maps[:1], size)
    assert not torch.equal(alone.class_map, decision.class_map)


def test_ties_go_to_the_smaller_class():
    scores = torch.zeros(3, 2, 2)
    scores[0] = -1
    assert torch.equal(
        decide([ScoreMap(scores)], (4, 4)).class_map, torch.ones(4, 4, dtype=torch.int64)
    )


def test_no_confidence_unless_asked():
    assert decide([ScoreMap(random_image(2, 3, 3))], (3, 3)).confidence is None


def test_scores_are_left_alone():
    scores = random_image(3, 4, 5)
    before = scores.clone()
    decide([ScoreMap(scores), ScoreMap(scores, "horizontal")], (4, 5))
    assert torch.equal(scores, before)


@pytest.mark.parametrize("band_bytes", [1, 4 * 3 * 50 * 8])
def test_no_tensor_exceeds_a_band(band_bytes):
    """All classes never exist at the picture's size at once."""
    sizes = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), options=None):
            result = function(*arguments, **(options or {}))
            if isinstance(result, torch.Tensor) and result.ndim == 3:
                sizes.append(result.numel() * result.element_size())
            return result

    scores = random_image(3, 10, 10)
    with Watch():
        decide([ScoreMap(scores)], (100, 50), band_bytes=band_bytes)
    row = 4 * 3 * 50
    source_rows = 4 * 3 * 10 * 50
    assert sizes
    assert max(sizes) <= max(band_bytes, row, source_rows) < 4 * 3 * 100 * 50
