import copy

import pytest
import torch
from torch import nn

from modelscope_vitadapter.network.cpu.layers import BandFeedForward, BandLayer
from modelscope_vitadapter.network.transformer_layer import FeedForward, TransformerLayer
from tests.support.networks import random_image as noise
from tests.support.networks import randomise, relative_error

WIDTH = 8

# The same products in another order: some units of the last of 24 bits.
ROUNDING = 1e-6
BFLOAT16_ROUNDING = 2e-2

ACTIVATIONS = {
    "ReLU": nn.ReLU,
    "ReLU in place": lambda: nn.ReLU(inplace=True),
    "GELU": nn.GELU,
    "LeakyReLU": lambda: nn.LeakyReLU(0.2),
    "PReLU": nn.PReLU,
    "ReLU6": nn.ReLU6,
    "ELU": lambda: nn.ELU(1.3),
    "SiLU": nn.SiLU,
    "Sigmoid": nn.Sigmoid,
    "Tanh": nn.Tanh,
}


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def feed_forward(activation="ReLU", *, num_layers=2, add_identity=True):
    network = FeedForward(
        embed_dim=WIDTH,
        hidden_dim=13,
        num_layers=num_layers,
        activation=ACTIVATIONS[activation](),
        dropout=0.3,
        branch_dropout=nn.Dropout(0.3),
        add_identity=add_identity,
    )
    return randomise(network).eval()


@pytest.mark.parametrize("add_identity", [True, False])
@pytest.mark.parametrize("num_layers", [2, 3, 5])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_feed_forward_networks_equal_the_module(packing, activation, num_layers, add_identity):
    network = feed_forward(activation, num_layers=num_layers, add_identity=add_identity)
    x, identity = noise(7, WIDTH), noise(7, WIDTH, seed=1)
    before = x.clone(), identity.clone()
    found = BandFeedForward(network, torch.float32)(x, identity)
    exact = copy.deepcopy(network).double()(x.double(), identity.double())
    assert relative_error(found, exact) < ROUNDING
    assert torch.equal(x, before[0])
    assert torch.equal(identity, before[1])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_bfloat16_is_as_exact_as_its_roundings(activation):
    network = feed_forward(activation)
    x, identity = noise(30, WIDTH), noise(30, WIDTH, seed=1)
    found = BandFeedForward(network, torch.bfloat16)(x, identity)
    assert found.dtype == torch.float32
    assert 1e-5 < relative_error(found, network(x, identity)) < BFLOAT16_ROUNDING


def test_in_bfloat16_the_residual_stays_float32():
    network = feed_forward()
    network.layers[1].weight.mul_(1e-3)
    network.layers[1].bias.mul_(1e-3)
    x, identity = noise(30, WIDTH), noise(30, WIDTH, seed=1)
    found = BandFeedForward(network, torch.bfloat16)(x, identity)
    assert relative_error(found, network(x, identity)) < BFLOAT16_ROUNDING * 1e-2


ORDERS = [
    ("self_attn", "norm", "ffn", "norm"),
    ("self_attn", "ffn"),
    ("self_attn", "norm", "ffn", "norm", "ffn", "norm"),
    ("self_attn", "ffn", "norm", "norm"),
    ("norm", "self_attn", "norm", "ffn"),
    ("norm", "ffn", "norm", "self_attn", "ffn"),
    ("ffn", "norm", "self_attn", "norm"),
    ("self_attn",),
]


@pytest.mark.parametrize("add_identity", [True, False])
@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_layers_equal_the_module(order, add_identity):
    layer = TransformerLayer(
        operation_order=order,
        attentions=[nn.Linear(WIDTH, WIDTH)],
        ffns=[feed_forward(add_identity=add_identity) for _ in range(order.count("ffn"))],
        norms=[nn.LayerNorm(WIDTH) for _ in range(order.count("norm"))],
    )
    randomise(layer).eval()
    attend = layer.attentions[0]
    query = noise(9, WIDTH)
    before = query.clone()
    found = BandLayer(layer, torch.float32)(query, attend)
    exact = copy.deepcopy(layer).double()
    expected = exact(query.double()[None], [exact.attentions[0]])[0]
    assert relative_error(found, expected) < ROUNDING
    assert torch.equal(query, before)


def test_a_layer_runs_any_number_of_bands():
    layer = TransformerLayer(
        operation_order=ORDERS[0],
        attentions=[nn.Identity()],
        ffns=[feed_forward()],
        norms=[nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)],
    )
    run = BandLayer(randomise(layer).eval(), torch.float32)
    query = noise(9, WIDTH)
    parts = [run(part, torch.sin) for part in query.split(4)]
    torch.testing.assert_close(torch.cat(parts), run(query, torch.sin), rtol=1e-5, atol=1e-6)
