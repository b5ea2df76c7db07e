"""The processor's path computes what the plain modules compute."""

import pytest
import torch
from torch.nn import functional as F

from modelscope_vitadapter.config.settings import AdapterForm
from modelscope_vitadapter.network.cpu.backbone import run_backbone
from modelscope_vitadapter.network.cpu.maps import as_map
from modelscope_vitadapter.network.cpu.pixel_decoder import run_pixel_decoder
from modelscope_vitadapter.network.cpu.segmentor import run_windows
from tests.support.networks import random_image, relative_error, tiny_network
from tests.support.settings_table import BACKBONE, DECODER, ENCODER, ENCODER_LAYER, HEAD

# The errors of all parts in 24 bits; masks of attention that they turn do not occur here.
ROUNDING = 2e-5
# The errors of all parts in 8 bits; random weights amplify some, also in the plain modules.
BFLOAT16_ROUNDING = 0.03

STAGES = f"{BACKBONE}.interaction_indexes"
NOT_ADDED = {f"{BACKBONE}.add_vit_feature": False}
VARIANTS = {
    "plain": {},
    "the authors' form": {},
    "one head": {f"{BACKBONE}.num_heads": 1},
    "a rectangle": {f"{BACKBONE}.img_size": (64, 96)},
    "a smaller trained window": {f"{BACKBONE}.img_size": 32},
    "a larger trained window": {f"{BACKBONE}.img_size": 128},
    "no feed-forward networks": {f"{BACKBONE}.with_cffn": False},
    "no extra extractors": {f"{BACKBONE}.use_extra_extractor": False},
    "no ViT features": NOT_ADDED,
    "two stages": {**NOT_ADDED, STAGES: [[0, 0], [2, 3]]},
    "wide values": {f"{BACKBONE}.deform_ratio": 2.0, f"{BACKBONE}.deform_num_heads": 4},
    "narrow values": {f"{BACKBONE}.deform_ratio": 0.25, f"{BACKBONE}.n_points": 3},
    "dropped branches": {f"{BACKBONE}.drop_path_rate": 0.5, f"{BACKBONE}.with_cp": True},
    "more encoder layers": {
        f"{ENCODER}.num_layers": 3,
        f"{ENCODER_LAYER}.attn_cfgs.num_heads": 8,
        f"{ENCODER_LAYER}.attn_cfgs.num_points": 5,
    },
    "more decoder layers": {f"{DECODER}.num_layers": 5},
    "more queries": {f"{HEAD}.num_queries": 100, f"{HEAD}.out_channels": 20},
    "few queries": {f"{HEAD}.num_queries": 2},  # whose logits are smaller than resized features
}
variants = pytest.mark.parametrize("variant", VARIANTS)
WINDOWS = [(32, 32), (64, 64), (64, 32), (32, 96), (128, 96)]


def network_of(variant="plain"):
    authors = variant == "the authors' form"
    form = AdapterForm.AUTHORS if authors else AdapterForm.BUILTIN
    return tiny_network(VARIANTS[variant], form=form)


def maps_of(backbone, tokens):
    """The four maps that the backbone's tokens stand for, in the steps of the paper."""
    grid, pyramid = tokens.geometry.grid, tokens.geometry.pyramid
    finest = (2 * pyramid[0][0], 2 * pyramid[0][1])
    parts = torch.split(tokens.pyramid, [height * width for height, width in pyramid])
    c2, c3, c4 = map(as_map, parts, pyramid)
    c1 = backbone.spm.fc1(as_map(tokens.local, finest)) + backbone.up(c2)
    if tokens.vit is not None:
        first, second = (as_map(vit, grid) for vit in tokens.vit)
        c1 = c1 + F.interpolate(first, finest, mode="bilinear")
        c2 = c2 + F.interpolate(second, pyramid[0], mode="bilinear")
    norms = (backbone.norm1, backbone.norm2, backbone.norm3, backbone.norm4)
    return [norm(maps) for norm, maps in zip(norms, (c1, c2, c3, c4), strict=True)]


def whole(network, image, dtype):
    return run_windows(network.backbone, network.decode_head, image, dtype)


def backbone(network, image, dtype):
    return maps_of(network.backbone, run_backbone(network.backbone, image, dtype))


def pixel_features(network, image, dtype):
    tokens = run_backbone(network.backbone, image, dtype)
    decoder = network.decode_head.pixel_decoder
    return run_pixel_decoder(decoder, network.backbone, tokens, dtype)


def pixel_decoder(network, image, dtype):
    features = pixel_features(network, image, dtype)
    mask_feature = network.decode_head.pixel_decoder.mask_feature
    maps = map(as_map, features.maps, features.shapes)
    return [mask_feature(as_map(features.finest, features.finest_shape)), *maps]


def plain_pixel_decoder(network, image):
    mask_features, maps = network.decode_head.pixel_decoder(network.backbone(image))
    return [mask_features, *maps]


PARTS = {
    "whole": (whole, lambda network, image: network.decode_head(network.backbone(image))),
    "backbone": (backbone, lambda network, image: network.backbone(image)),
    "pixel decoder": (pixel_decoder, plain_pixel_decoder),
}
parts = pytest.mark.parametrize("part", PARTS)


def errors(part, network, image, dtype=torch.float32):
    run, plain = PARTS[part]
    found = run(network, image, dtype)
    assert {value.dtype for value in found} == {torch.float32}
    return list(map(relative_error, found, plain(network, image)))


@variants
def test_equals_the_plain_modules(tiling, variant):
    assert max(errors("whole", network_of(variant), random_image(1, 3, 32, 64))) < ROUNDING


@parts
def test_each_part_equals_the_plain_modules_in_every_way(tiling, way, part):
    assert max(errors(part, network_of(), random_image(1, 3, 32, 64))) < ROUNDING


@parts
@pytest.mark.parametrize("window", WINDOWS)
def test_windows_of_any_size(part, window):
    assert max(errors(part, network_of(), random_image(1, 3, *window))) < ROUNDING


def test_the_bands_of_a_large_window(tiling):
    # 1025 tokens in the backbone, 5376 in the pixel decoder: several bands of every kind
    assert max(errors("whole", network_of(), random_image(1, 3, 512, 512))) < ROUNDING


@variants
def test_bfloat16_is_as_exact_as_the_plain_modules_in_bfloat16(tiling, variant):
    network, image = network_of(variant), random_image(1, 3, 64, 64)
    exact = PARTS["whole"][1](network, image)
    with torch.autocast("cpu", torch.bfloat16):
        found, plainly = network(image), PARTS["whole"][1](network, image)
    for one, other, expected in zip(found, plainly, exact, strict=True):
        assert one.dtype == torch.float32
        bound = 1.5 * relative_error(other, expected) + BFLOAT16_ROUNDING
        assert 1e-4 < relative_error(one, expected) < bound


def test_in_bfloat16_the_residual_streams_stay_float32(tiling):
    network = network_of("the authors' form")
    for name, parameter in network.backbone.named_parameters():
        if "gamma" in name or "output_proj" in name or ".ffn.fc2" in name:
            parameter.mul_(1e-3)
    # what is added to the streams is a thousandth; in bfloat16 they would lose 2 ** -9 = 2e-3
    image = random_image(1, 3, 64, 64)
    assert max(errors("backbone", network, image, torch.bfloat16)) < 1e-4


@pytest.mark.parametrize("sign", [1, -1])
def test_queries_that_see_nothing_see_everything(sign):
    # constant features and a bias decide all masks alike: all full, or all empty and so full
    network, image = network_of(), random_image(1, 3, 64, 64)
    head = network.decode_head
    head.pixel_decoder.mask_feature.weight.zero_()
    head.pixel_decoder.mask_feature.bias.fill_(1)
    head.mask_embed[-1].weight.zero_()
    head.mask_embed[-1].bias.fill_(sign)
    _, mask_logits = network(image)
    assert ((mask_logits > 0) == (sign > 0)).all()
    assert max(errors("whole", network, image)) < ROUNDING
