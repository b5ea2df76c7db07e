"""`torch.compile` takes the whole network in one graph."""

from pathlib import Path

import pytest
import torch
from torch import nn

from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.checkpoint.model_directory import find_checkpoint
from modelscope_vitadapter.config.model_config import load_model_config
from modelscope_vitadapter.network.build import build_network
from tests.support.configs import LEARNED, WIDTH
from tests.support.networks import random_image, tiny_network

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


SHALLOW = {"model.decode_head.transformer_decoder.num_layers": 1}
"""Tracing takes long: where nothing depends on it, one decoder layer is enough."""


class Plain(nn.Module):
    """The plain modules, which a processor's own path replaces in `network.forward`."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, window):
        return self.network.decode_head(self.network.backbone(window))


def assert_compiled_equals_plain(network, *images, **options):
    compiled = torch.compile(network, backend="eager", fullgraph=True, **options)
    with torch.no_grad():
        for image in images:
            for found, expected in zip(compiled(image), Plain(network)(image), strict=True):
                torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_golden_network_is_one_graph():
    network = build_network(load_model_config(GOLDEN / "base").settings).eval()
    load_into(network, find_checkpoint(GOLDEN / "base"))
    assert_compiled_equals_plain(network, random_image(1, 3, 64, 64))


@pytest.mark.parametrize("dynamic", [False, None])
def test_a_second_window_size_is_one_graph_too(dynamic):
    network = tiny_network(SHALLOW)
    images = random_image(1, 3, 64, 64), random_image(1, 3, 32, 64)
    assert_compiled_equals_plain(network, *images, dynamic=dynamic)


def test_windows_are_padded_inside_the_graph():
    network = tiny_network(SHALLOW)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    odd = random_image(1, 3, 33, 70)
    whole = torch.zeros(1, 3, 64, 96)
    whole[:, :, :33, :70] = odd
    with torch.no_grad():
        for found, expected in zip(compiled(odd), Plain(network)(whole), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_tables_of_larger_windows_are_interpolated_inside_the_graph():
    attention = tiny_network().backbone.blocks[0].attn
    compiled = torch.compile(attention, backend="eager", fullgraph=True)
    with torch.no_grad():
        for grid in ((6, 4), (4, 8)):  # 4 x 4 are trained
            x = random_image(1, 1 + grid[0] * grid[1], WIDTH)
            torch.testing.assert_close(compiled(x, grid), attention(x, grid))


@pytest.mark.parametrize(
    "changes",
    [
        {
            "model.backbone.use_rel_pos_bias": False,
            "model.backbone.use_abs_pos_emb": True,
            "model.backbone.pretrain_size": 64,
            "model.decode_head.pixel_decoder.norm_cfg": {"type": "BN"},
        },
        {
            "model.decode_head.pixel_decoder.norm_cfg": None,
            "model.decode_head.pixel_decoder.positional_encoding": LEARNED,
            "model.decode_head.positional_encoding": LEARNED,
            "model.decode_head.enforce_decoder_input_project": True,
        },
    ],
    ids=["absolute positions", "learned encodings"],
)
def test_other_settings_are_one_graph(changes):
    assert_compiled_equals_plain(tiny_network(SHALLOW | changes), random_image(1, 3, 64, 64))


def test_autocast_is_left_inside_the_graph():
    network, image = tiny_network(SHALLOW), random_image(1, 3, 64, 64)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found, expected = compiled(image), Plain(network)(image)
    assert found[1].dtype == torch.float32
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_training_is_one_graph():
    network, image = tiny_network(SHALLOW).train(), random_image(2, 3, 64, 64)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    class_logits, mask_logits = compiled(image)
    (class_logits.sum() + mask_logits.sum()).backward()
    table = network.backbone.blocks[0].attn.relative_position_bias_table
    assert table.grad is not None
    assert table.grad.abs().sum() > 0
