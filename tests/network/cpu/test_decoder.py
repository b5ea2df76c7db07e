import pytest
import torch
from torch import nn

from modelscope_vitadapter.network.cpu.decoder import MaskPredictor, run_decoder
from modelscope_vitadapter.network.cpu.pixel_decoder import PixelFeatures
from modelscope_vitadapter.network.transformer_layer import attention_mask
from tests.support.networks import random_image, relative_error, tiny_network

# A few layers' products in another order, in 24 bits.
ROUNDING = 5e-6
# Keys and values are rounded to 8 bits in each layer.
BFLOAT16_ROUNDING = 5e-2

PYRAMIDS = [
    [(2, 2), (4, 4), (8, 8)],
    [(1, 1), (2, 2), (4, 4)],
    [(1, 3), (2, 6), (4, 12)],
    [(4, 2), (2, 3), (3, 5)],
]


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def features_of(shapes):
    finest = (2 * shapes[-1][0], 2 * shapes[-1][1])
    return PixelFeatures(
        finest=random_image(finest[0] * finest[1], 16, seed=9),
        finest_shape=finest,
        maps=[random_image(h * w, 16, seed=i) for i, (h, w) in enumerate(shapes)],
        shapes=list(shapes),
    )


def as_map(tokens, shape):
    return tokens.t().reshape(1, -1, *shape)


class Given(nn.Module):
    """Stands for a pixel decoder that has computed its features already."""

    def __init__(self, features, mask_feature):
        super().__init__()
        self.features, self.mask_feature = features, mask_feature

    def forward(self, _):
        finest = as_map(self.features.finest, self.features.finest_shape)
        maps = list(map(as_map, self.features.maps, self.features.shapes))
        return self.mask_feature(finest), maps


def errors(head, features, dtype=torch.float32):
    class_logits, mask_logits = run_decoder(head, features, dtype)
    pixel_decoder = head.pixel_decoder
    head.pixel_decoder = Given(features, pixel_decoder.mask_feature)
    try:
        expected_classes, expected_masks = head([])
    finally:
        head.pixel_decoder = pixel_decoder
    assert class_logits.dtype == mask_logits.dtype == torch.float32
    return [
        relative_error(class_logits, expected_classes[0]),
        relative_error(mask_logits, expected_masks[0].flatten(1)),
    ]


@pytest.mark.parametrize("shapes", PYRAMIDS)
def test_equals_the_module(banding, decoder_variant, shapes):
    assert max(errors(decoder_variant.decode_head, features_of(shapes))) < ROUNDING


def test_equals_the_module_without_reordered_weights(unpacked):
    assert max(errors(tiny_network().decode_head, features_of(PYRAMIDS[0]))) < ROUNDING


def test_bfloat16_is_as_exact_as_its_roundings(decoder_variant):
    found = errors(decoder_variant.decode_head, features_of(PYRAMIDS[0]), torch.bfloat16)
    assert 1e-5 < max(found) < BFLOAT16_ROUNDING


def test_mask_features_without_bias():
    head = tiny_network().decode_head
    head.pixel_decoder.mask_feature.bias = None
    assert max(errors(head, features_of(PYRAMIDS[0]))) < ROUNDING


@pytest.mark.parametrize("sign", [1, -1])
def test_queries_that_see_nothing_see_everything(sign):
    # constant features and a bias decide all masks alike: all full, or all empty and so full
    head, features = tiny_network().decode_head, features_of(PYRAMIDS[0])
    head.pixel_decoder.mask_feature.weight.zero_()
    last = head.mask_embed[-1]
    last.weight.zero_()
    last.bias.fill_(sign)
    head.pixel_decoder.mask_feature.bias.fill_(1)
    _, mask_logits = run_decoder(head, features, torch.float32)
    assert ((mask_logits > 0) == (sign > 0)).all()
    assert max(errors(head, features)) < ROUNDING


@pytest.mark.parametrize("queries", [1, 100])  # fewer make resized logits the smaller, more tokens
@pytest.mark.parametrize("shapes", PYRAMIDS)
def test_masks_at_a_levels_resolution_are_the_resized_masks(decoder_variant, shapes, queries):
    head, features = decoder_variant.decode_head, features_of(shapes)
    head.query_feat = nn.Embedding(queries, 16)
    query = random_image(6, 16, seed=5)
    predictor = MaskPredictor(head, features)
    finest = predictor.finest(query).view(1, 6, *features.finest_shape)
    for level, shape in enumerate(shapes):
        found = predictor.at_level(query, level)
        expected = nn.functional.interpolate(finest, shape, mode="bilinear")[0].flatten(1)
        assert relative_error(found, expected) < ROUNDING
        mask = attention_mask(finest, shape)[0, 0]
        clear = expected.abs() > 1e-4
        full = ~(expected > 0).any(1, keepdim=True)
        assert torch.equal((mask & ~full)[clear], ((found >= 0) & ~full)[clear])


def test_features_and_queries_stay_as_they_are(low_bands):
    head, features = tiny_network().decode_head, features_of(PYRAMIDS[0])
    held = [features.finest, *features.maps, *head.state_dict().values()]
    before = [tensor.clone() for tensor in held]
    run_decoder(head, features, torch.float32)
    assert all(map(torch.equal, held, before))
