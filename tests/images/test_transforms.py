import ast
from pathlib import Path

import mmcv
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelscope_vitadapter.config.model_config import load_model_config
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
GOLDEN_IMAGES = [
    *(("base", name) for name in ("china", "flower", "gray", "pil", "tall", "tiny", "wide")),
    *(("tta", name) for name in ("china", "flower")),
]
PEER = dict(np.load(Path(__file__).parent / "data" / "mmdet_pipelines.npz"))
PIPELINES = ast.literal_eval(PEER["pipelines"].item().decode())
CASES = sorted({tuple(key.split("/")[:2]) for key in PEER if key.endswith("/flip")})


@pytest.mark.parametrize(("folder", "name"), GOLDEN_IMAGES)
def test_golden_network_input(folder, name):
    with np.load(GOLDEN / folder / "expected.npz") as expected:
        golden = expected[f"{name}/input0"]
    image = read_image(GOLDEN / folder / f"{name}.png")
    transform = load_model_config(GOLDEN / folder).transform
    result = apply_transform(transform, image)
    assert result.image_size == image.shape[:2]
    assert np.abs(result.views[0][None].numpy() - golden).max() <= 1e-5
    # Floats are not rounded to whole grey levels after each of two resizes.
    floats = apply_transform(transform, image.astype(np.float32))
    assert np.abs(floats.views[0][None].numpy() - golden).max() <= 1.5 / 57


@pytest.mark.parametrize(("pipeline", "image"), CASES)
def test_equal_to_mmdet(pipeline, image):
    result = apply_transform(parse_test_pipeline(PIPELINES[pipeline]), PEER[f"image/{image}"])
    assert len(result.views) == sum(key.startswith(f"{pipeline}/{image}/") for key in PEER) / 2
    for k, view in enumerate(result.views):
        expected = PEER[f"{pipeline}/{image}/{k}"]
        assert view.shape == expected.shape
        assert view.is_contiguous()
        assert (result.flips[k] or "") == str(PEER[f"{pipeline}/{image}/{k}/flip"])
        assert np.abs(view.numpy() - expected).max() <= 1e-5


sides = st.integers(1, 20_000)
sizes = st.tuples(sides, sides)
small = st.integers(1, 40)
small_sizes = st.tuples(small, small)
STEPS = st.one_of(
    st.builds(Resize, small_sizes, st.booleans()),
    st.builds(ResizeToMultiple, small_sizes),
    st.builds(Flip, st.sampled_from(["horizontal", "vertical"])),
    st.builds(Pad, size=small_sizes, divisor=small),
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
    assert result[0] % 32 == result[1] % 32 == 0
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
