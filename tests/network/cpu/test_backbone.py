import pytest
import torch
from torch import nn
from torch.nn import functional as F

from modelscope_vitadapter.network.cpu.backbone import run_backbone
from modelscope_vitadapter.network.cpu.bands import Scratch
from tests.support.networks import random_image, relative_error, tiny_network

# Four blocks, injectors and extractors, each with some units of the last of 24 bits.
ROUNDING = 1e-5
BFLOAT16_ROUNDING = 5e-2

WINDOWS = [(64, 64), (32, 32), (96, 64), (32, 128)]


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def maps_of(backbone, tokens):
    """The four maps that the tokens stand for, in the steps of the paper."""
    grid, pyramid = tokens.geometry.grid, tokens.geometry.pyramid
    finest = (2 * pyramid[0][0], 2 * pyramid[0][1])

    def as_map(rows, shape):
        return rows.t().reshape(1, -1, *shape)

    parts = torch.split(tokens.pyramid, [height * width for height, width in pyramid])
    c2, c3, c4 = map(as_map, parts, pyramid)
    c1 = backbone.spm.fc1(as_map(tokens.local, finest)) + backbone.up(c2)
    if tokens.vit is not None:
        first, second = (as_map(vit, grid) for vit in tokens.vit)
        c1 = c1 + F.interpolate(first, finest, mode="bilinear")
        c2 = c2 + F.interpolate(second, pyramid[0], mode="bilinear")
    norms = (backbone.norm1, backbone.norm2, backbone.norm3, backbone.norm4)
    return [norm(maps) for norm, maps in zip(norms, (c1, c2, c3, c4), strict=True)]


def errors(network, image, dtype=torch.float32):
    backbone = network.backbone
    found = maps_of(backbone, run_backbone(backbone, image, dtype, Scratch()))
    return [relative_error(a, b) for a, b in zip(found, backbone(image), strict=True)]


@pytest.mark.parametrize("window", WINDOWS)
def test_equals_the_module(backbone_variant, window):
    assert max(errors(backbone_variant, random_image(1, 3, *window))) < ROUNDING


def test_equals_the_module_in_low_bands(tiling, low_bands, backbone_variant):
    assert max(errors(backbone_variant, random_image(1, 3, 32, 64))) < ROUNDING


def test_equals_the_module_without_reordered_weights(unpacked):
    assert max(errors(tiny_network(), random_image(1, 3, 64, 96))) < ROUNDING


def test_bfloat16_is_as_exact_as_its_roundings(tiling, backbone_variant):
    found = errors(backbone_variant, random_image(1, 3, 64, 64), torch.bfloat16)
    assert max(found) < BFLOAT16_ROUNDING
    assert max(found) > 1e-4


def test_tokens_are_float32_in_bfloat16_too():
    backbone, image = tiny_network().backbone, random_image(1, 3, 64, 96)
    tokens = run_backbone(backbone, image, torch.bfloat16, Scratch())
    assert {t.dtype for t in (tokens.local, tokens.pyramid, *tokens.vit)} == {torch.float32}


def test_in_bfloat16_the_residual_streams_stay_float32():
    network, image = tiny_network(), random_image(1, 3, 64, 64)
    backbone = network.backbone
    for name, parameter in backbone.named_parameters():
        if "gamma" in name or "output_proj" in name or ".ffn.fc2" in name:
            parameter.mul_(1e-3)
    for stage in backbone.interactions:
        for module in (stage.injector, stage.extractor, *(stage.extra_extractors or ())):
            module.add_query = False
    # what is added to the streams is a thousandth; in bfloat16 they would lose 2 ** -9 = 2e-3
    assert max(errors(network, image, torch.bfloat16)) < 1e-4


def test_the_image_stays_as_it_is():
    image = random_image(1, 3, 64, 64)
    before = image.clone()
    run_backbone(tiny_network().backbone, image, torch.float32, Scratch())
    assert torch.equal(image, before)


def test_scratch_may_hold_what_another_window_left():
    backbone, scratch = tiny_network().backbone, Scratch()
    for window in ((96, 128), (32, 64), (64, 64)):
        image = random_image(1, 3, *window)
        shared = run_backbone(backbone, image, torch.float32, scratch)
        alone = run_backbone(backbone, image, torch.float32, Scratch())
        assert torch.equal(shared.pyramid, alone.pyramid)


def test_released_tokens_are_gone():
    tokens = run_backbone(
        tiny_network().backbone, random_image(1, 3, 32, 32), torch.float32, Scratch()
    )
    tokens.release()
    assert tokens.local.numel() == tokens.pyramid.numel() == 0
    assert tokens.vit is None


def test_convolutions_with_a_bias_are_folded_too():
    network = tiny_network()
    stem = network.backbone.spm.stem
    stem[0] = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=True)
    stem[0].bias.copy_(torch.arange(4) - 1.5)
    assert max(errors(network.eval(), random_image(1, 3, 64, 64))) < ROUNDING
