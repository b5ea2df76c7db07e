import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from modelscope_vitadapter.config.settings import WindowSettings
from modelscope_vitadapter.images.transforms import NetworkInput
from modelscope_vitadapter.inference import predictor
from modelscope_vitadapter.inference.class_scores import WindowMasks
from modelscope_vitadapter.inference.predictor import predict
from modelscope_vitadapter.inference.sliding_window import window_origins
from modelscope_vitadapter.inference.wanted import Wanted
from tests.support.networks import random_image, randomise

SLIDE = WindowSettings("slide", (64, 64), (48, 32))
WHOLE = WindowSettings("whole", (32, 32), (16, 16))
CLASSES, QUERIES = 5, 7
CONFIDENCE = Wanted(confidence=True)
UNTURN = {None: (), "horizontal": (-1,), "vertical": (-2,)}


def window_scores(class_logits, mask_logits, size):
    """Class scores `(B, K, height, width)` of windows `(4 h, 4 w)` that were padded from `size`."""
    classes = class_logits.softmax(dim=-1)[..., :-1]
    scores = torch.einsum("bqc,bqhw->bchw", classes, mask_logits.sigmoid())
    scores = F.interpolate(scores, scale_factor=4, mode="bilinear", align_corners=False)
    return scores[..., : size[0], : size[1]]


def view_scores(network, view, windows):
    """Class scores `(K, h, w)` of one view: the mean of its windows' scores."""
    whole = (*view.shape[-2:],)
    crop, stride = (
        (whole, whole) if windows.mode == "whole" else (windows.crop_size, windows.stride)
    )
    tops, lefts = map(window_origins, whole, crop, stride)
    total, count = 0, torch.zeros(whole)
    for top in tops:
        for left in lefts:
            place = (..., slice(top, top + crop[0]), slice(left, left + crop[1]))
            window = view[place]
            scores = window_scores(*network(window[None]), window.shape[-2:])[0]
            if isinstance(total, int):
                total = scores.new_zeros(len(scores), *whole)
            total[place] += scores
            count[place] += 1
    return total / count


def whole_probabilities(network, one, windows):
    """Probabilities `(K, H, W)`: the mean over views of the softmax over classes."""
    parts = []
    for view, flip in zip(one.views, one.flips, strict=True):
        scores = view_scores(network, view, windows)[None]
        scores = F.interpolate(scores, one.image_size, mode="bilinear", align_corners=False)
        parts.append(scores.softmax(dim=1)[0].flip(UNTURN[flip]))
    return torch.stack(parts).mean(dim=0)


class Network(torch.nn.Module):
    """Predictions that vary from pixel to pixel and from window to window."""

    def __init__(self):
        super().__init__()
        self.masks = torch.nn.Conv2d(3, QUERIES, 4, stride=4)
        self.classes = torch.nn.Linear(3, QUERIES * (CLASSES + 1))

    def forward(self, window):
        height, width = window.shape[-2:]
        window = F.pad(window, (0, -width % 32, 0, -height % 32))
        masks = 2 * self.masks(window)
        classes = 3 * self.classes(10 * window.mean(dim=(2, 3)))
        return classes.view(len(window), QUERIES, CLASSES + 1), masks


@pytest.fixture(scope="module")
def network():
    return randomise(Network()).eval()


def image(height, width, seed=0, size=None, flips=(None,)):
    inputs = [random_image(3, height, width, seed=seed + i) for i in range(len(flips))]
    return NetworkInput(inputs, list(flips), size or (height, width))


def run(network, images, windows=SLIDE, *, batch=1, **options):
    with torch.inference_mode():
        return list(
            predict(
                network,
                images,
                windows,
                num_classes=CLASSES,
                batch_size=lambda size: batch,
                **options,
            )
        )


def assert_agrees(prediction, probabilities):
    """The best class, where the best two are further apart than float32's noise."""
    best, second = probabilities.topk(2, dim=0).values
    clear = best - second > 1e-6
    assert clear.float().mean() > 0.98 or (~clear).sum() <= 1
    assert prediction.class_map.dtype == torch.int64
    assert prediction.class_map.shape == probabilities.shape[1:]
    assert torch.equal(prediction.class_map[clear], probabilities.argmax(0)[clear])


SIDES = st.integers(1, 150)
FLIPS = st.sampled_from([None, "horizontal", "vertical"])


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.tuples(SIDES, SIDES), FLIPS), min_size=1, max_size=3),
    st.tuples(SIDES, SIDES),
    st.sampled_from([SLIDE, WHOLE, WindowSettings("slide", (40, 33), (13, 32))]),
    st.sampled_from([1, 4 * CLASSES * 64 * 9, 2**24]),
    st.integers(1, 5),
)
def test_strips_decide_as_the_whole(network, views, size, windows, strip_bytes, batch):
    inputs = [random_image(3, *shape, seed=i) for i, (shape, _) in enumerate(views)]
    one = NetworkInput(inputs, [flip for _, flip in views], size)
    options = {"strip_bytes": strip_bytes, "batch": batch}
    (plain,) = run(network, [one], windows, **options)
    (certain,) = run(network, [one], windows, wanted=CONFIDENCE, **options)
    with torch.inference_mode():
        expected = whole_probabilities(network, one, windows)
    assert_agrees(plain, expected)
    assert_agrees(certain, expected)
    assert plain.confidence is None
    assert certain.confidence.dtype == torch.float16
    assert certain.confidence.is_contiguous()
    assert plain.class_map.is_contiguous()
    torch.testing.assert_close(certain.confidence, expected.amax(0).half(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 2, 3, 8])
def test_many_pictures_answer_as_one_at_a_time(network, batch):
    images = [
        image(64, 96),
        image(64, 64, seed=3, flips=(None, "horizontal")),
        image(32, 128, seed=6),
        image(96, 64, seed=9, size=(11, 13)),
    ]
    calls = []
    handle = network.register_forward_hook(lambda _m, inputs, _o: calls.append(len(inputs[0])))
    try:
        together = run(network, images, batch=batch, wanted=CONFIDENCE)
    finally:
        handle.remove()
    assert max(calls) == min(batch, 4)
    assert sum(calls) == 2 + 2 + 3 + 2
    for prediction, one in zip(together, images, strict=True):
        (alone,) = run(network, [one], wanted=CONFIDENCE)
        assert prediction.class_map.shape == one.image_size
        assert torch.equal(prediction.class_map, alone.class_map)
        torch.testing.assert_close(prediction.confidence, alone.confidence, rtol=0.01, atol=0.01)


def test_pictures_are_taken_and_decided_one_by_one(network):
    taken, runs = [], []

    def images():
        for i in range(3):
            taken.append(i)
            yield image(64, 64, seed=i)

    handle = network.register_forward_hook(lambda *_: runs.append(1))
    try:
        with torch.inference_mode():
            predictions = predict(network, images(), SLIDE, num_classes=CLASSES)
            assert (taken, runs) == ([], [])
            next(predictions)
            assert (len(taken), len(runs)) == (1, 1)
            next(predictions)
            assert (len(taken), len(runs)) == (2, 2)
    finally:
        handle.remove()


@pytest.mark.parametrize("shape", [(64, 1200), (1200, 64)])
@pytest.mark.parametrize("batch", [1, 3])
def test_what_is_held_does_not_grow_with_the_windows(network, shape, batch, monkeypatch):
    """Windows are 64 pixels long every 48 or 32: two of them reach into a strip, or three."""
    alive, most = [], 0

    def of(*logits, **options):
        nonlocal most
        prediction = make(*logits, **options)
        alive.append(weakref.ref(prediction))
        most = max(most, sum(one() is not None for one in alive))
        return prediction

    make = WindowMasks.of
    monkeypatch.setattr(predictor.WindowMasks, "of", staticmethod(of))
    run(network, [image(*shape, flips=(None, "horizontal"))], batch=batch, strip_bytes=2**16)
    assert len(alive) > 40
    assert most <= 6


def test_no_tensor_of_scores_exceeds_a_strip(network):
    """All classes never exist at the size of a window, an input or the image."""
    sizes = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), options=None):
            result = function(*arguments, **(options or {}))
            if isinstance(result, torch.Tensor) and result.is_floating_point():
                sizes.append(result.numel() // CLASSES)
            return result

    one = image(64, 640, size=(640, 6400))
    with Watch():
        run(network, [one], strip_bytes=4 * CLASSES * 64 * 16)
    assert max(sizes) < 640 * 6400 // 10


def test_bfloat16_runs_in_autocast_and_decides_in_float32(network):
    seen = []
    handle = network.masks.register_forward_hook(lambda _m, _i, output: seen.append(output.dtype))
    one = image(64, 96)
    try:
        (exact,) = run(network, [one], wanted=CONFIDENCE)
        (reduced,) = run(network, [one], wanted=CONFIDENCE, dtype=torch.bfloat16)
    finally:
        handle.remove()
    assert set(seen) == {torch.float32, torch.bfloat16}
    assert torch.isfinite(reduced.confidence).all()
    agreement = (exact.class_map == reduced.class_map).float().mean()
    assert agreement > 0.9
    assert not torch.equal(exact.confidence, reduced.confidence)
    assert network.masks.weight.dtype == torch.float32


def test_inputs_are_left_alone(network):
    one = image(70, 130)
    before = one.views[0].clone()
    run(network, [one])
    assert torch.equal(one.views[0], before)


def test_no_pictures(network):
    assert run(network, []) == []
