"""Small models with other settings answer as ModelScope's built-in model does.

`golden/make_variants.py` made the expected answers and says what is in them.
"""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from modelscope_vitadapter.segmenter import Segmenter
from tests.support.configs import GOLDEN
from tests.support.networks import relative_error

VARIANTS = sorted(path.parent for path in (GOLDEN / "variants").glob("*/expected.npz"))
PARTS = ("c1", "c2", "c3", "c4", "cls", "mask")


class Variant:
    """A model directory with its expected answers, and what segments with it."""

    def __init__(self, folder):
        self.expected = dict(np.load(folder / "expected.npz"))
        self.cases = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
        self.first = next(iter(self.cases))
        self.segmenter = Segmenter.load(folder)

    def image(self, name):
        """The `(H, W, 3)` uint8 BGR image of a case."""
        top, left, height, width = self.cases[name]["crop"]
        rgb = np.asarray(Image.open(GOLDEN / "base" / self.cases[name]["image"]).convert("RGB"))
        return np.ascontiguousarray(rgb[top : top + height, left : left + width, ::-1])


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda path: path.name)
def variant(request):
    return Variant(request.param)


def test_there_are_variants():
    assert {path.name for path in VARIANTS} == {"augmented", "rectangle", "two_stages"}


def test_network_input(variant):
    prepared = variant.segmenter.prepare(variant.image(variant.first))
    expected = variant.expected[f"{variant.first}/input0"][0]
    np.testing.assert_allclose(prepared.views[0].numpy(), expected, rtol=0, atol=1e-5)


def test_features_and_logits(variant):
    image = torch.from_numpy(variant.expected[f"{variant.first}/input0"])
    height, width = variant.segmenter.config.settings.windows.crop_size or image.shape[-2:]
    window, network = image[..., :height, :width], variant.segmenter.network
    with torch.no_grad():
        features = network.backbone(window)
        values = [*features, *network.decode_head(features)]
    for part, value in zip(PARTS, values, strict=True):
        expected = torch.from_numpy(variant.expected[f"{variant.first}/window0_{part}"])
        assert relative_error(value, expected) < 1e-4, part


def test_class_maps(variant):
    for name in variant.cases:
        (prediction,) = variant.segmenter.segment([variant.image(name)])
        expected = variant.expected[f"{name}/classmap"]
        np.testing.assert_array_equal(prediction.class_map.numpy(), expected)
