import pytest
import torch

from modelscope_vitadapter.network.transformer_layer import attention_mask
from tests.support.configs import WIDTH
from tests.support.networks import random_image, tiny_network

HEAD = "model.decode_head"


def features(batch=2):
    return [random_image(batch, WIDTH, 64 // s, 96 // s, seed=s) for s in (4, 8, 16, 32)]


@pytest.mark.parametrize("layers", [1, 3, 5])
def test_a_prediction_before_the_first_layer_and_after_each(layers):
    head = tiny_network({f"{HEAD}.transformer_decoder.num_layers": layers}).decode_head
    predictions = list(head.predictions(features()))
    assert len(predictions) == layers + 1
    for class_logits, mask_logits in predictions:
        assert class_logits.shape == (2, 6, 6)
        assert mask_logits.shape == (2, 6, 16, 24)
    for found, expected in zip(head(features()), predictions[-1], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_first_prediction_comes_from_the_learned_queries():
    head = tiny_network().decode_head
    class_logits, mask_logits = next(iter(head.predictions(features())))
    query = head.transformer_decoder.post_norm(head.query_feat.weight)
    mask_features, _ = head.pixel_decoder(features())
    torch.testing.assert_close(class_logits[0], head.cls_embed(query))
    expected = torch.einsum("qc,bchw->bqhw", head.mask_embed(query), mask_features)
    torch.testing.assert_close(mask_logits, expected, rtol=1e-4, atol=1e-4)


def test_layers_look_at_the_levels_in_turn_through_the_predicted_masks():
    head = tiny_network({f"{HEAD}.transformer_decoder.num_layers": 4}).decode_head
    seen = []
    for layer in head.transformer_decoder.layers:
        layer.attentions[0].register_forward_pre_hook(lambda _m, given: seen.append(given))
    predictions = list(head.predictions(features()))
    _, maps = head.pixel_decoder(features())
    sizes = [(2, 3), (4, 6), (8, 12), (2, 3)]
    for i, (_query, key, value, mask) in enumerate(seen):
        level = i % 3
        tokens = maps[level].flatten(2).transpose(1, 2) + head.level_embed.weight[level]
        torch.testing.assert_close(value, tokens)
        position = head.decoder_positional_encoding(*sizes[i], torch.device("cpu"))
        torch.testing.assert_close(key, tokens + position)
        assert torch.equal(mask, attention_mask(predictions[i][1], sizes[i]))


def test_self_attention_locates_queries_but_not_values():
    head = tiny_network().decode_head
    seen = []
    own = head.transformer_decoder.layers[0].attentions[1]
    own.register_forward_pre_hook(lambda _m, given: seen.append(given))
    head(features())
    query, key, value, mask = seen[0]
    torch.testing.assert_close(query, value + head.query_embed.weight)
    assert torch.equal(key, query)
    assert mask is None


def test_pictures_of_a_batch_do_not_touch_each_other():
    head = tiny_network().decode_head
    together = head(features())
    for i in range(2):
        alone = head([feature[i : i + 1] for feature in features()])
        for whole, part in zip(together, alone, strict=True):
            torch.testing.assert_close(whole[i : i + 1], part, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("enforced", [False, True])
def test_enforced_projection(enforced):
    head = tiny_network({f"{HEAD}.enforce_decoder_input_project": enforced}).decode_head
    names = {name for name in head.state_dict() if name.startswith("decoder_input_projs")}
    assert len(names) == (6 if enforced else 0)


def test_predictions_stay_exact_in_autocast():
    head = tiny_network().decode_head
    with torch.autocast("cpu", torch.bfloat16):
        class_logits, mask_logits = head(features())
    assert class_logits.dtype == mask_logits.dtype == torch.float32
