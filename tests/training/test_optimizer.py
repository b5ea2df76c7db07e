import json
from pathlib import Path

import pytest
import torch
from torch import nn

from modelscope_vitadapter.training.optimizer import (
    build_schedule,
    layer_of,
    parameter_groups,
    rate_factor,
)
from modelscope_vitadapter.training.train_config import TrainConfig

STATE = Path(__file__).parents[1] / "golden" / "full_size_state_dict.json"
CONFIG = TrainConfig(learning_rate=1.0, layer_decay=0.5)


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


def test_rates_decay_by_layers_vectors_have_no_weight_decay_and_frozen_ones_are_left_out():
    network = nn.Module()
    network.backbone = nn.Module()
    network.backbone.patch_embed = nn.Linear(2, 2)
    network.backbone.blocks = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    network.decode_head = nn.Linear(2, 2)
    groups = parameter_groups(network, 2, CONFIG)
    shown = [(group["lr"], group["weight_decay"], len(group["params"])) for group in groups]
    assert shown == [(rate, decay, 1) for rate in (0.125, 0.25, 0.5, 1.0) for decay in (0.0, 0.05)]
    network.backbone.requires_grad_(False)
    network.decode_head.weight.requires_grad_(False)
    (group,) = parameter_groups(network, 2, CONFIG)
    assert group["params"] == [network.decode_head.bias]


def factors(steps, **options):
    config = TrainConfig(**{"warmup_iters": 10, "warmup_ratio": 0.1, **options})
    return [rate_factor(step, config, 100) for step in steps]


def test_the_rate_falls_along_the_polynomial_and_the_warm_up_multiplies_it():
    assert factors([10, 50, 100, 101]) == pytest.approx([0.9, 0.5, 0.0, 0.0])
    assert factors([50], power=2.0) == pytest.approx([0.25])
    # As in mmcv, where the warm-up takes a share off the regular rate.
    assert factors([0, 5]) == pytest.approx([0.1, 0.95 * (1 - 0.5 * 0.9)])
    assert factors([0], warmup_iters=0) == [1.0]


def test_the_scheduler_scales_each_groups_own_rate():
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (1.0, 0.5)]
    optimizer = torch.optim.AdamW(groups)
    schedule = build_schedule(optimizer, TrainConfig(), 4)
    seen = []
    for _ in range(4):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    assert seen == [[1.0, 0.5], [0.75, 0.375], [0.5, 0.25], [0.25, 0.125]]
