import pytest
import torch
from torch.nn import functional as F

from modelscope_vitadapter.config.settings import WindowSettings
from modelscope_vitadapter.inference.predictor import Picture, predict
from tests.support.networks import random_image, randomise

SLIDE = WindowSettings("slide", (64, 64), (48, 32))
WHOLE = WindowSettings("whole", (32, 32), (16, 16))


@pytest.fixture(scope="module")
def network():
    """Scores that vary from pixel to pixel and depend on where a window ends."""
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 5, padding=2), torch.nn.Tanh(), torch.nn.Conv2d(8, 5, 5, padding=2)
    )
    return randomise(layers).eval()


def picture(height, width, seed=0, size=None, flips=(None,)):
    inputs = [random_image(3, height, width, seed=seed + i) for i in range(len(flips))]
    return Picture(inputs, list(flips), size or (height, width))


def run(network, pictures, windows=SLIDE, **options):
    with torch.inference_mode():
        return list(predict(network, pictures, windows, **options))


def builtin_probabilities(network, image, windows, size, align_corners=False):
    """The built-in model's inference of one picture: windows, resize, softmax."""
    height, width = image.shape[-2:]
    if windows.mode == "whole":
        scores = network(image[None])
    else:
        scores, count = torch.zeros(1, 5, height, width), torch.zeros(1, 1, height, width)
        rows, columns = (
            max(length - crop + stride - 1, 0) // stride + 1
            for length, crop, stride in zip(
                (height, width), windows.crop_size, windows.stride, strict=True
            )
        )
        for i in range(rows):
            for j in range(columns):
                bottom = min(i * windows.stride[0] + windows.crop_size[0], height)
                right = min(j * windows.stride[1] + windows.crop_size[1], width)
                top, left = (
                    max(bottom - windows.crop_size[0], 0),
                    max(right - windows.crop_size[1], 0),
                )
                scores[..., top:bottom, left:right] += network(
                    image[None, :, top:bottom, left:right]
                )
                count[..., top:bottom, left:right] += 1
        scores = scores / count
    scores = F.interpolate(scores, size, mode="bilinear", align_corners=align_corners)
    return scores.softmax(1)[0]


def assert_agrees(decision, probabilities):
    best, second = probabilities.topk(2, dim=0).values
    clear = best - second > 1e-5
    assert clear.float().mean() > 0.98
    assert torch.equal(decision.class_map[clear], probabilities.argmax(0)[clear])


@pytest.mark.parametrize("windows", [SLIDE, WHOLE], ids=["slide", "whole"])
@pytest.mark.parametrize(
    ("shape", "size"),
    [((64, 96), (64, 96)), ((64, 160), (50, 131)), ((96, 64), (200, 90)), ((32, 64), (3, 5))],
)
def test_answers_as_the_builtin_inference(network, windows, shape, size):
    one = picture(*shape, size=size)
    (decision,) = run(network, [one], windows)
    with torch.inference_mode():
        expected = builtin_probabilities(network, one.inputs[0], windows, size)
    assert decision.class_map.shape == size
    assert len(decision.class_map.unique()) > 2
    assert_agrees(decision, expected)


def test_align_corners(network):
    one = picture(64, 64, size=(100, 150))
    (decision,) = run(network, [one], align_corners=True)
    with torch.inference_mode():
        expected = builtin_probabilities(network, one.inputs[0], SLIDE, (100, 150), True)
    assert_agrees(decision, expected)


def test_augmentations_of_a_picture_are_averaged(network):
    inputs = [
        random_image(3, 64, 96),
        random_image(3, 64, 96, seed=1),
        random_image(3, 96, 128, seed=2),
    ]
    flips = [None, "horizontal", "vertical"]
    (decision,) = run(network, [Picture(inputs, flips, (70, 101))], confidence=True)
    with torch.inference_mode():
        parts = [builtin_probabilities(network, image, SLIDE, (70, 101)) for image in inputs]
    mean = (parts[0] + parts[1].flip(2) + parts[2].flip(1)) / 3
    assert_agrees(decision, mean)
    torch.testing.assert_close(decision.confidence.float(), mean.amax(0), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("window_batch_size", [1, 3, 8])
def test_many_pictures_answer_as_one_at_a_time(network, window_batch_size):
    pictures = [
        picture(64, 96),
        picture(64, 64, seed=3, flips=(None, "horizontal")),
        picture(32, 128, seed=6),
        picture(96, 64, seed=9, size=(11, 13)),
    ]
    together = run(network, pictures, window_batch_size=window_batch_size, confidence=True)
    for decision, one in zip(together, pictures, strict=True):
        (alone,) = run(network, [one], confidence=True)
        assert decision.class_map.shape == one.size
        same = decision.class_map == alone.class_map
        assert same.float().mean() > 0.99
        torch.testing.assert_close(decision.confidence, alone.confidence, rtol=0.01, atol=0.01)


def test_pictures_are_decided_one_by_one(network):
    runs = []
    handle = network.register_forward_hook(lambda *_: runs.append(1))
    try:
        with torch.inference_mode():
            decisions = predict(network, [picture(64, 64), picture(64, 64, seed=1)], SLIDE)
            next(decisions)
            assert len(runs) == 1
            next(decisions)
    finally:
        handle.remove()
    assert len(runs) == 2


def test_bfloat16_runs_in_autocast_and_decides_in_float32(network):
    seen = []
    handle = network[0].register_forward_hook(lambda _m, _i, output: seen.append(output.dtype))
    one = picture(64, 96)
    try:
        (exact,) = run(network, [one], confidence=True)
        (reduced,) = run(network, [one], confidence=True, dtype=torch.bfloat16)
    finally:
        handle.remove()
    assert set(seen) == {torch.float32, torch.bfloat16}
    assert torch.isfinite(reduced.confidence).all()
    agreement = (exact.class_map == reduced.class_map).float().mean()
    assert agreement > 0.9
    assert not torch.equal(exact.confidence, reduced.confidence)
    assert network[0].weight.dtype == torch.float32


def test_no_pictures(network):
    assert run(network, []) == []
