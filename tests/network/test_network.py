"""The BEiT adapter with a Mask2Former head, as any model and as what is its own."""

from typing import ClassVar

import pytest
import torch
from torch.nn import functional as F

from modelscope_vitadapter.network.transformer_layer import attention_mask, full_where_empty
from tests.support.configs import tiny_config
from tests.support.model_tests import ModelTests, RefuseRoundTrips, RoundTripError
from tests.support.networks import random_image, relative_error, tiny_network


class TestMask2Former(ModelTests):
    GOLDEN_FOLDERS = ("base", "tta")
    SHALLOW: ClassVar = {
        "model.backbone.depth": 1,
        "model.backbone.interaction_indexes": [[0, 0]],
        "model.backbone.add_vit_feature": False,
        "model.decode_head.transformer_decoder.num_layers": 1,
    }

    def config(self, changes=None):
        return tiny_config(changes)


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: torch.tensor([1.0]),
        lambda x: x.to("meta"),
        lambda x: x[[0, 1]],
    ],
)
def test_round_trips_are_refused(wait):
    with RefuseRoundTrips(), pytest.raises(RoundTripError):
        wait(torch.ones(3))


@pytest.mark.parametrize("layers", [1, 3, 5])
def test_a_prediction_before_the_first_layer_and_after_each(layers):
    network = tiny_network({"model.decode_head.transformer_decoder.num_layers": layers})
    image = random_image(2, 3, 64, 96)
    predictions = list(network.predictions(image))
    assert len(predictions) == layers + 1
    for found, expected in zip(network(image), predictions[-1], strict=True):
        assert relative_error(found, expected) < 1e-5
    head = network.decode_head
    query = head.transformer_decoder.post_norm(head.query_feat.weight)
    torch.testing.assert_close(predictions[0][0][0], head.cls_embed(query))


def test_masks_and_sampling_stay_exact_in_autocast():
    network, image = tiny_network(), random_image(1, 3, 64, 64)
    kept, offsets = [], "backbone.interactions.0.injector.attn.sampling_offsets"
    for part in (offsets, "decode_head.mask_embed"):
        network.get_submodule(part).register_forward_hook(lambda *given: kept.append(given[2]))
    with torch.autocast("cpu", torch.bfloat16):
        class_logits, mask_logits = network(image)
        assert (image.flatten(2) @ image.flatten(2).mT).dtype == torch.bfloat16  # it goes on
    assert {value.dtype for value in (*kept, class_logits, mask_logits)} == {torch.float32}


def test_features_of_a_smaller_window_depend_on_the_position_bias():
    network, image = tiny_network(), random_image(1, 3, 32, 64)
    before = network.backbone(image)[3]
    with torch.no_grad():
        network.backbone.blocks[0].attn.relative_position_bias_table[:-3].mul_(-1)
    assert relative_error(network.backbone(image)[3], before) > 1e-2


def test_queries_that_may_look_nowhere_look_everywhere():
    allowed = torch.tensor([[True, False], [False, False]])
    assert full_where_empty(allowed).tolist() == [[True, False], [True, True]]


def test_the_attention_mask_is_where_the_resized_mask_is_likely():
    logits = random_image(2, 3, 8, 12).requires_grad_()
    with torch.no_grad():
        logits[1, 2] = -5
    mask = attention_mask(logits, (4, 6))
    expected = (F.interpolate(logits, (4, 6), mode="bilinear") >= 0).flatten(2)
    expected[1, 2] = True
    assert torch.equal(mask, expected.unsqueeze(1))
    assert not mask.all()
    assert not mask.requires_grad
