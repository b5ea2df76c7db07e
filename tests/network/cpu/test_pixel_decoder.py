import pytest
import torch
from torch import nn
from torch.nn import functional as F

from modelscope_vitadapter.network.cpu.backbone import run_backbone
from modelscope_vitadapter.network.cpu.bands import Scratch
from modelscope_vitadapter.network.cpu.pixel_decoder import encode, run_pixel_decoder
from tests.support.networks import random_image, randomise, relative_error, tiny_network

# The backbone's errors, and Winograd's convolution.
ROUNDING = 1e-5
BFLOAT16_ROUNDING = 5e-2


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def as_map(tokens, shape):
    return tokens.t().reshape(1, -1, *shape)


def decoded(network, image, dtype=torch.float32, scratch=None):
    scratch = scratch or Scratch()
    tokens = run_backbone(network.backbone, image, dtype, scratch)
    decoder = network.decode_head.pixel_decoder
    return run_pixel_decoder(decoder, network.backbone, tokens, dtype, scratch)


def errors(network, image, dtype=torch.float32):
    """Relative errors of the mask features and of the maps, lowest resolution first."""
    decoder = network.decode_head.pixel_decoder
    features = decoded(network, image, dtype)
    mask_features = decoder.mask_feature(as_map(features.finest, features.finest_shape))
    found = [mask_features, *map(as_map, features.maps, features.shapes)]
    expected_mask_features, expected_maps = decoder(network.backbone(image))
    expected = [expected_mask_features, *expected_maps]
    return [relative_error(a, b) for a, b in zip(found, expected, strict=True)]


@pytest.mark.parametrize("window", [(64, 64), (64, 32), (32, 96)])
def test_equals_the_module(pixel_decoder_variant, window):
    assert max(errors(pixel_decoder_variant, random_image(1, 3, *window))) < ROUNDING


def test_equals_the_module_in_low_bands(low_bands, pixel_decoder_variant):
    assert max(errors(pixel_decoder_variant, random_image(1, 3, 32, 64))) < ROUNDING


def test_equals_the_module_in_the_bands_of_a_large_window(pixel_decoder_variant):
    # 64 x 64 cells of the finest map, 1344 tokens in the encoder
    assert max(errors(pixel_decoder_variant, random_image(1, 3, 256, 256))) < ROUNDING


def test_a_window_of_one_cell():
    assert max(errors(tiny_network(), random_image(1, 3, 32, 32))) < ROUNDING


def test_any_backbone(backbone_variant):
    assert max(errors(backbone_variant, random_image(1, 3, 64, 64))) < ROUNDING


def test_equals_the_module_without_reordered_weights(unpacked):
    assert max(errors(tiny_network(), random_image(1, 3, 64, 96))) < ROUNDING


def test_bfloat16_is_as_exact_as_its_roundings(tiling, pixel_decoder_variant):
    network, image = pixel_decoder_variant, random_image(1, 3, 64, 64)
    found = errors(network, image, torch.bfloat16)
    assert max(found) < BFLOAT16_ROUNDING
    assert max(found) > 1e-4
    features = decoded(network, image, torch.bfloat16)
    assert {t.dtype for t in (features.finest, *features.maps)} == {torch.float32}


def test_up_sampling_and_prior_without_bias_are_composed_too():
    network = tiny_network()
    network.backbone.up = randomise(nn.ConvTranspose2d(16, 16, 2, 2, bias=False))
    network.backbone.spm.fc1 = randomise(nn.Conv2d(4, 16, 1, bias=False))
    assert max(errors(network.eval(), random_image(1, 3, 64, 64))) < ROUNDING


@pytest.mark.parametrize("norm", [nn.GroupNorm(4, 16), nn.BatchNorm2d(16)])
def test_norm_and_activation_of_the_lateral_convolution(low_bands, norm):
    network = tiny_network()
    lateral = network.decode_head.pixel_decoder.lateral_convs[0]
    lateral.norm_name, lateral.gn = "gn", randomise(norm)
    lateral.activate = nn.LeakyReLU(0.2)
    assert max(errors(network.eval(), random_image(1, 3, 64, 64))) < ROUNDING


def test_activations_of_input_convolutions():
    network = tiny_network()
    for convolution in network.decode_head.pixel_decoder.input_convs:
        convolution.activate = nn.GELU()
    assert max(errors(network.eval(), random_image(1, 3, 64, 64))) < ROUNDING


@pytest.mark.parametrize("shapes", [[(2, 2), (4, 4), (8, 8)], [(1, 1), (3, 2), (5, 7)]])
def test_the_encoder_equals_the_module(banding, pixel_decoder_variant, shapes):
    decoder = pixel_decoder_variant.decode_head.pixel_decoder
    tokens = random_image(sum(height * width for height, width in shapes), 16)
    positions = [
        decoder.postional_encoding(*shape, tokens.device) + level
        for shape, level in zip(shapes, decoder.level_encoding.weight, strict=True)
    ]
    expected = decoder.encoder(tokens[None], torch.cat(positions, dim=1), shapes)[0]
    found = tokens.clone()
    encode(decoder, found, shapes, torch.float32, Scratch())
    assert relative_error(found, expected) < ROUNDING


def test_shapes_are_those_of_the_window():
    features = decoded(tiny_network(), random_image(1, 3, 64, 96))
    assert features.finest_shape == (16, 24)
    assert features.finest.shape == (16 * 24, 16)
    assert features.shapes == [(2, 3), (4, 6), (8, 12)]
    assert [maps.shape for maps in features.maps] == [(6, 16), (24, 16), (96, 16)]


def test_scratch_may_hold_what_another_window_left():
    network, scratch = tiny_network(), Scratch()
    for window in ((96, 128), (32, 64), (64, 64)):
        image = random_image(1, 3, *window)
        shared, alone = decoded(network, image, scratch=scratch), decoded(network, image)
        assert torch.equal(shared.finest, alone.finest)
        assert all(map(torch.equal, shared.maps, alone.maps))


def test_resizing_reads_the_finest_of_the_encoders_maps():
    # with nothing but the map above, the finest map is its two-fold resizing, convolved
    network, image = tiny_network({"model.decode_head.pixel_decoder.norm_cfg": None}), None
    decoder = network.decode_head.pixel_decoder
    decoder.lateral_convs[0].conv.weight.zero_()
    decoder.lateral_convs[0].conv.bias.zero_()
    image = random_image(1, 3, 64, 64)
    features = decoded(network, image)
    above = as_map(features.maps[-1], features.shapes[-1])
    above = F.interpolate(above, features.finest_shape, mode="bilinear")
    expected = decoder.output_convs[0](above)
    assert relative_error(as_map(features.finest, features.finest_shape), expected) < ROUNDING
