import ast
from pathlib import Path

import cv2
import mmcv
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from modelscope_vitadapter.config.test_pipeline import (
    Flip,
    Normalize,
    Pad,
    Resize,
    ResizeToMultiple,
    output_size,
    parse_test_pipeline,
)
from modelscope_vitadapter.images.reading import read_image
from modelscope_vitadapter.images.transforms import apply_step, apply_transform

GOLDEN = Path(__file__).parents[1] / "golden"
PEER = dict(np.load(Path(__file__).parent / "data" / "mmdet_pipelines.npz"))
PIPELINES = ast.literal_eval(PEER["pipelines"].item().decode())
CASES = sorted({tuple(key.split("/")[:2]) for key in PEER if key.split("/")[0] in PIPELINES})


def golden_transform(img_scale, flip):
    """The test pipeline of the golden models."""
    load, augmentation = PIPELINES["flip_first"]
    resize, multiple, random_flip, norm = (
        {"type": "Resize", "keep_ratio": True},
        {"type": "ResizeToMultiple", "size_divisor": 32},
        {"type": "RandomFlip"},
        augmentation["transforms"][3],
    )
    transforms = [resize, multiple, random_flip, norm]
    views = {"img_scale": img_scale, "flip": flip, "flip_direction": "horizontal"}
    return parse_test_pipeline([load, {**augmentation, **views, "transforms": transforms}])


BASE = golden_transform((256, 64), False)
TTA = golden_transform([(256, 64), (384, 96)], True)


def decode(path, flag):
    return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), flag)


def sources(path):
    """The forms in which a golden image may be given, all with the same pixels."""
    if path.stem == "gray":
        return [decode(path, cv2.IMREAD_GRAYSCALE)]
    array = decode(path, cv2.IMREAD_COLOR)
    if path.stem == "pil":
        return [Image.open(path), array]
    return [array, array.astype(np.float32), path, path.read_bytes()]


@pytest.mark.parametrize("name", ["china", "flower", "gray", "pil", "tall", "tiny", "wide"])
def test_golden_network_input(name):
    with np.load(GOLDEN / "base" / "expected.npz") as expected:
        golden = expected[f"{name}/input0"]
    for source in sources(GOLDEN / "base" / f"{name}.png"):
        image = read_image(source)
        result = apply_transform(BASE, image)
        (view,) = result.views
        assert result.flips == (None,)
        assert result.image_size == image.shape[:2]
        # Floats are not rounded to whole grey levels after each of two resizes.
        most = 1e-5 if image.dtype == np.uint8 else 1.5 / 57
        assert np.abs(view[None].numpy() - golden).max() <= most


@pytest.mark.parametrize("name", ["china", "flower"])
def test_golden_augmentations(name):
    with np.load(GOLDEN / "tta" / "expected.npz") as expected:
        golden = expected[f"{name}/input0"]
    result = apply_transform(TTA, read_image(GOLDEN / "tta" / f"{name}.png"))
    views = [view.numpy() for view in result.views]
    assert np.abs(views[0][None] - golden).max() <= 1e-5
    assert result.flips == (None, "horizontal") * 2
    for plain, mirrored in (views[:2], views[2:]):
        assert np.array_equal(plain[:, :, ::-1], mirrored)


@pytest.mark.parametrize(("pipeline", "image"), CASES)
def test_equal_to_mmdet(pipeline, image):
    transform = parse_test_pipeline(PIPELINES[pipeline])
    result = apply_transform(transform, PEER[f"image/{image}"])
    assert f"{pipeline}/{image}/{len(result.views)}" not in PEER
    for k, view in enumerate(result.views):
        golden = PEER[f"{pipeline}/{image}/{k}"]
        assert view.shape == golden.shape
        assert view.is_contiguous()
        assert (result.flips[k] or "") == str(PEER[f"{pipeline}/{image}/{k}/flip"])
        assert np.abs(view.numpy() - golden).max() <= 1e-5


def test_each_case_of_the_peer_is_read():
    assert {pipeline for pipeline, _ in CASES} == set(PIPELINES)


sides = st.integers(1, 20_000)
sizes = st.tuples(sides, sides)
small = st.integers(1, 40)
small_sizes = st.tuples(small, small)
STEPS = st.one_of(
    st.builds(Resize, small_sizes, st.booleans()),
    st.builds(ResizeToMultiple, small_sizes),
    st.builds(Flip, st.sampled_from(["horizontal", "vertical"])),
    st.builds(Pad, size=small_sizes),
    st.builds(Pad, divisor=small),
    st.just(Normalize((1, 2, 3), (4, 5, 6))),
)


@settings(deadline=None)
@given(size=sizes, box=st.tuples(st.integers(1, 5_000), st.integers(1, 5_000)))
def test_keep_ratio_rounds_as_mmcv_does_but_keeps_a_pixel(size, box):
    width, height = mmcv.rescale_size((size[1], size[0]), (box[1], box[0]))
    assert output_size(Resize(box), size) == (max(height, 1), max(width, 1))


@settings(deadline=None)
@given(size=sizes)
def test_the_hubs_geometry_is_a_multiple_of_32_with_a_side_of_896_at_most(size):
    result = output_size(ResizeToMultiple(), output_size(Resize((896, 3584)), size))
    assert result[0] % 32 == 0
    assert result[1] % 32 == 0
    assert 32 <= min(result) <= 896
    assert max(result) <= 3584


@settings(max_examples=300, deadline=None)
@given(size=small_sizes, step=STEPS, floats=st.booleans())
def test_the_size_of_a_result_is_what_was_foretold(size, step, floats):
    image = np.full((*size, 3), 7, np.float32 if floats else np.uint8)
    before = image.copy()
    result = apply_step(step, image)
    assert result.shape == (*output_size(step, size), 3)
    assert result.flags.c_contiguous
    assert np.array_equal(image, before)
    assert result.dtype == (np.float32 if isinstance(step, Normalize) else image.dtype)


@settings(deadline=None)
@given(size=st.tuples(st.integers(1, 4), st.integers(1, 4)), to_rgb=st.booleans())
def test_normalize_is_per_channel_at_every_size(size, to_rgb):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    expected = ((image[:, :, ::-1] if to_rgb else image) - np.array(mean)) / np.array(std)
    assert np.allclose(apply_step(Normalize(mean, std, to_rgb), image), expected, atol=1e-6)


def test_a_border_is_below_and_to_the_right():
    image = np.random.default_rng(6).integers(0, 256, (7, 10, 3)).astype(np.uint8)
    result = apply_step(Pad(size=(9, 8), value=(1.0, 2.0, 3.0)), image)
    assert result.shape == (9, 10, 3)
    assert np.array_equal(result[:7], image)
    assert (result[7:] == (1, 2, 3)).all()


@pytest.mark.parametrize("size", [(800, 40), (1, 1), (1, 9000), (9000, 1)])
def test_extreme_shapes_have_a_network_input(size):
    (view,) = apply_transform(BASE, np.zeros((*size, 3), np.uint8)).views
    assert view.shape[1:] == BASE.views[0].output_size(size)
    assert min(view.shape[1:]) >= 32
