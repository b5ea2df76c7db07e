import json
from pathlib import Path

import pytest
from torch import nn

from modelscope_vitadapter.training.parameter_groups import layer_of, parameter_groups

STATE = Path(__file__).parents[1] / "golden" / "full_size_state_dict.json"


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("backbone.cls_token", 0),
        ("backbone.pos_embed", 0),
        ("backbone.patch_embed.proj.weight", 0),
        ("backbone.blocks.0.attn.qkv.weight", 1),
        ("backbone.blocks.23.mlp.fc2.bias", 24),
        ("backbone.level_embed", 25),
        ("backbone.interactions.0.injector.gamma", 25),
        ("backbone.norm1.weight", 25),
        ("decode_head.cls_embed.weight", 25),
        ("decode_head.pixel_decoder.mask_feature.weight", 25),
    ],
)
def test_layers_of_the_full_model(name, layer):
    assert layer_of(name, 24) == layer


def test_predictors_go_to_the_first_layer_where_the_authors_rule_is_asked_for():
    names = ["cls_embed.weight", "mask_embed.0.bias", "query_feat.weight", "level_embed.weight"]
    assert {layer_of(f"decode_head.{name}", 24, decay_predictors=True) for name in names} == {0}
    other = "decode_head.transformer_decoder.layers.0.norms.0.weight"
    assert layer_of(other, 24, decay_predictors=True) == 25


def test_every_layer_of_the_full_model_has_parameters():
    names = json.loads(STATE.read_text(encoding="utf-8"))
    assert {layer_of(name, 24) for name in names} == set(range(26))


def test_rates_decay_by_layers_and_vectors_have_no_weight_decay():
    network = nn.Module()
    network.backbone = nn.Module()
    network.backbone.patch_embed = nn.Linear(2, 2)
    network.backbone.blocks = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    network.decode_head = nn.Linear(2, 2)
    groups = parameter_groups(
        network, depth=2, learning_rate=1.0, weight_decay=0.05, layer_decay=0.5
    )
    shown = [(group["lr"], group["weight_decay"], len(group["params"])) for group in groups]
    assert shown == [(rate, decay, 1) for rate in (0.125, 0.25, 0.5, 1.0) for decay in (0.0, 0.05)]


def test_frozen_parameters_are_left_out():
    network = nn.Module()
    network.decode_head = nn.Linear(2, 2)
    network.decode_head.weight.requires_grad_(False)
    (group,) = parameter_groups(
        network, depth=2, learning_rate=1.0, weight_decay=0.05, layer_decay=0.5
    )
    assert group["params"] == [network.decode_head.bias]
