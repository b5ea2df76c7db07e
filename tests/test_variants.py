"""Small models with other settings answer as ModelScope's built-in model does.

`golden/make_variants.py` made the expected answers and says what is in them.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from modelscope.outputs import OutputKeys
from modelscope.pipelines import pipeline
from PIL import Image

import modelscope_vitadapter  # noqa: F401  the plugin registers itself

GOLDEN = Path(__file__).parent / "golden"
VARIANTS = sorted(path.parent for path in (GOLDEN / "variants").glob("*/expected.npz"))
PARTS = ("c1", "c2", "c3", "c4", "cls", "mask")


def relative_error(value, expected):
    expected = torch.from_numpy(expected)
    return float((value - expected).norm() / expected.norm())


class Variant:
    """A model directory with its expected answers, and its pipeline."""

    def __init__(self, folder):
        self.expected = dict(np.load(folder / "expected.npz"))
        self.cases = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
        self.first = next(iter(self.cases))
        self.pipeline = pipeline("image-segmentation", model=str(folder), device="cpu")

    def image(self, name):
        """The `(H, W, 3)` uint8 BGR image of a case."""
        case = self.cases[name]
        top, left, height, width = case["crop"]
        rgb = np.asarray(Image.open(GOLDEN / "base" / case["image"]).convert("RGB"))
        return np.ascontiguousarray(rgb[top : top + height, left : left + width, ::-1])

    def first_window(self):
        """What the built-in network was given first, `(1, 3, h, w)`."""
        image = torch.from_numpy(self.expected[f"{self.first}/input0"])
        test_cfg = self.pipeline.model.cfg.model.test_cfg
        height, width = test_cfg.get("crop_size") or image.shape[-2:]
        return image[..., :height, :width]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Spreading operations this small over threads takes longer than doing them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda path: path.name)
def variant(request):
    return Variant(request.param)


def test_there_are_variants():
    assert len(VARIANTS) >= 10


def test_network_input(variant):
    prepared = variant.pipeline.preprocess(variant.image(variant.first))
    expected = variant.expected[f"{variant.first}/input0"][0]
    np.testing.assert_allclose(prepared["img"][0].numpy(), expected, rtol=0, atol=1e-5)


def test_features_and_logits(variant):
    network = variant.pipeline.model.model
    with torch.no_grad():
        features = network.backbone(variant.first_window())
        values = [*features, *network.decode_head(features)]
    errors = {
        part: relative_error(value, variant.expected[f"{variant.first}/window0_{part}"])
        for part, value in zip(PARTS, values, strict=True)
    }
    assert max(errors.values()) < 1e-4, errors


def test_class_maps_and_labels(variant):
    for name in variant.cases:
        result = variant.pipeline(variant.image(name))
        labels = result[OutputKeys.LABELS]
        assert labels == variant.expected[f"{name}/labels"].tolist()
        ids = [variant.pipeline.model.CLASSES.index(label) for label in labels]
        masks = result[OutputKeys.MASKS]
        class_map = sum(i * mask for i, mask in zip(ids, masks, strict=True))
        np.testing.assert_array_equal(class_map, variant.expected[f"{name}/classmap"])
        assert {mask.dtype for mask in masks} == {np.dtype(np.int64)}
