import ast
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from modelscope_vitadapter.images.inputs import read_image
from modelscope_vitadapter.images.steps import Flip, Normalize, Resize, ResizeToMultiple
from modelscope_vitadapter.images.transforms import apply_transform, parse_transform

GOLDEN = Path(__file__).parents[1] / "golden"
NORM = {
    "type": "Normalize",
    "mean": [123.675, 116.28, 103.53],
    "std": [58.395, 57.12, 57.375],
    "to_rgb": True,
}


def golden_pipeline(img_scale, flip):
    return [
        {"type": "LoadImageFromFile"},
        {
            "type": "MultiScaleFlipAug",
            "img_scale": img_scale,
            "flip": flip,
            "transforms": [
                {"type": "Resize", "keep_ratio": True},
                {"type": "ResizeToMultiple", "size_divisor": 32},
                {"type": "RandomFlip"},
                NORM,
                {"type": "ImageToTensor", "keys": ["img"]},
                {"type": "Collect", "keys": ["img"]},
            ],
        },
    ]


BASE = golden_pipeline((256, 64), False)
TTA = golden_pipeline([(256, 64), (384, 96)], True)


def decode(path, flag):
    return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), flag)


def sources(path):
    """The forms in which a golden image may be given, all with the same pixels."""
    if path.stem == "gray":
        return [decode(path, cv2.IMREAD_GRAYSCALE)]
    array = decode(path, cv2.IMREAD_COLOR)
    if path.stem == "pil":
        return [Image.open(path), array]
    return [array, array.astype(np.float32), path, str(path), path.read_bytes()]


@pytest.mark.parametrize("name", ["china", "flower", "gray", "pil", "tall", "tiny", "wide"])
def test_golden_network_input(name):
    with np.load(GOLDEN / "base" / "expected.npz") as expected:
        golden = expected[f"{name}/input0"]
    for source in sources(GOLDEN / "base" / f"{name}.png"):
        image = read_image(source)
        result = apply_transform(parse_transform(BASE), image)
        (view,) = result.views
        assert result.flips == (None,)
        assert view.dtype == torch.float32
        assert view[None].shape == golden.shape
        if image.dtype == np.uint8:
            assert np.abs(view[None].numpy() - golden).max() <= 1e-5
        else:  # not rounded to whole grey levels after each of two resizes
            assert np.abs(view[None].numpy() - golden).max() <= 1.5 / 57


@pytest.mark.parametrize("name", ["china", "flower"])
def test_golden_augmentations(name):
    with np.load(GOLDEN / "tta" / "expected.npz") as expected:
        golden = expected[f"{name}/input0"]
    image = read_image(GOLDEN / "tta" / f"{name}.png")
    transform = parse_transform(TTA)
    result = apply_transform(transform, image)
    views = [view.numpy() for view in result.views]
    assert np.abs(views[0][None] - golden).max() <= 1e-5
    assert result.flips == (None, "horizontal") * 2
    assert tuple(view.shape[1:] for view in views) == transform.network_sizes(image.shape[:2])
    for plain, mirrored in (views[:2], views[2:]):
        assert np.array_equal(plain[:, :, ::-1], mirrored)


PEER = dict(np.load(Path(__file__).parent / "data" / "mmdet_pipelines.npz"))
PIPELINES = ast.literal_eval(str(PEER["pipelines"]))
CASES = sorted(
    {tuple(key.split("/")[:2]) for key in PEER if key.split("/")[0] in PIPELINES},
)


@pytest.mark.parametrize(("pipeline", "image"), CASES)
def test_equal_to_mmdet(pipeline, image):
    transform = parse_transform(PIPELINES[pipeline])
    result = apply_transform(transform, PEER[f"image/{image}"])
    assert f"{pipeline}/{image}/{len(result.views)}" not in PEER
    for k, view in enumerate(result.views):
        golden = PEER[f"{pipeline}/{image}/{k}"]
        assert view.shape == golden.shape
        assert view.is_contiguous()
        assert (result.flips[k] or "") == str(PEER[f"{pipeline}/{image}/{k}/flip"])
        # Cubic and float arithmetic is rounded otherwise by other versions of OpenCV.
        assert np.abs(view.numpy() - golden).max() <= (1e-5 if pipeline != "pillow" else 1.01 / 57)
        assert transform.network_sizes(PEER[f"image/{image}"].shape[:2])[k] == golden.shape[1:]


def test_the_transform_is_plain_comparable_data():
    transform = parse_transform(BASE)
    assert transform == parse_transform(BASE)
    assert hash(transform) == hash(parse_transform(BASE))
    (view,) = transform.views
    assert view.steps == (
        Resize((64, 256)),
        ResizeToMultiple((32, 32)),
        Normalize((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    )
    assert Flip("horizontal") in parse_transform(TTA).views[1].steps


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_the_image_is_not_modified(kind):
    image = np.full((5, 6, 3), 9, kind)
    for pipeline in PIPELINES.values():
        if kind is np.uint8 or "pillow" not in str(pipeline):
            apply_transform(parse_transform(pipeline), image)
    assert (image == 9).all()


@pytest.mark.parametrize(
    "size", [(300, 1500), (1500, 300), (800, 40), (1, 1), (1, 9000), (9000, 1)]
)
def test_extreme_shapes_have_a_network_input(size):
    transform = parse_transform(BASE)
    (view,) = apply_transform(transform, np.zeros((*size, 3), np.uint8)).views
    assert view.shape[1:] == transform.network_sizes(size)[0]
    assert min(view.shape[1:]) >= 32
