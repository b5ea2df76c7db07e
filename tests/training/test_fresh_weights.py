import pytest
import torch

from modelscope_vitadapter.network.deformable_attention import MultiScaleDeformableAttention
from modelscope_vitadapter.training.fresh_weights import set_fresh_weights
from tests.support.networks import tiny_network


@pytest.fixture(scope="module")
def network():
    fresh = tiny_network()
    torch.manual_seed(0)
    set_fresh_weights(fresh)
    return fresh


def test_what_comes_out_is_neither_dead_nor_exploding(network):
    with torch.no_grad():
        predictions = list(network.predictions(torch.randn(2, 3, 64, 64)))
    for class_logits, mask_logits in predictions:
        assert 0.05 < float(class_logits.std()) < 20
        assert 0.005 < float(mask_logits.std()) < 20


def test_queries_lean_to_their_classes(network):
    with torch.no_grad():
        class_logits, _ = next(network.predictions(torch.randn(1, 3, 64, 64)))
    classes = network.decode_head.cls_embed.out_features - 1
    chosen = class_logits[0, :classes].argmax(-1)
    assert chosen.tolist() == list(range(classes))


def test_deformable_attention_starts_by_looking_around(network):
    modules = [m for m in network.modules() if isinstance(m, MultiScaleDeformableAttention)]
    assert modules
    for module in modules:
        assert not module.sampling_offsets.weight.any()
        assert float(module.sampling_offsets.bias.detach().abs().max()) >= 1
