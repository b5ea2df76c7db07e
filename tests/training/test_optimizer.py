import json
import re
from pathlib import Path

import pytest
from torch import nn

from modelscope_vitadapter.network.beit import Block
from modelscope_vitadapter.network.seeded_dropout import DropPath
from modelscope_vitadapter.training.optimizer import (
    arrange_network,
    layer_of,
    parameter_groups,
    rate_factor,
)
from modelscope_vitadapter.training.train_config import TrainConfig
from tests.support.networks import tiny_network

STATE = Path(__file__).parents[1] / "golden" / "full_size_state_dict.json"
CONFIG = TrainConfig(learning_rate=1.0, layer_decay=0.5)


def test_layers_of_the_full_model():
    names = json.loads(STATE.read_text(encoding="utf-8"))
    layers = {name: layer_of(name, 24) for name in names}
    for name, layer in layers.items():
        block = re.match(r"backbone\.blocks\.(\d+)\.", name)
        first = name.startswith(("backbone.patch_embed.", "backbone.cls_token"))
        assert layer == (int(block[1]) + 1 if block else 0 if first else 25), name
    assert set(layers.values()) == set(range(26))
    authors = {name: layer_of(name, 24, decay_predictors=True) for name in names}
    moved = {name.split(".")[1] for name in names if authors[name] != layers[name]}
    assert moved == {"cls_embed", "mask_embed", "query_feat", "query_embed", "level_embed"}
    assert {authors[name] for name in names if name.startswith("decode_head.cls_embed")} == {0}


def test_rates_decay_by_layers_vectors_have_no_weight_decay_and_frozen_ones_are_left_out():
    network = nn.Module()
    network.backbone = nn.Module()
    network.backbone.patch_embed = nn.Linear(2, 2)
    network.backbone.blocks = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    network.decode_head = nn.Linear(2, 2)
    network.norm = nn.LayerNorm(2)
    groups = parameter_groups(network, 2, CONFIG)
    shown = [(group["lr"], group["weight_decay"], len(group["params"])) for group in groups]
    expected = [(rate, decay, 1) for rate in (0.125, 0.25, 0.5) for decay in (0.0, 0.05)]
    assert shown == [*expected, (1.0, 0.0, 3), (1.0, 0.05, 1)]
    network.backbone.requires_grad_(False)
    network.decode_head.requires_grad_(False)
    (group,) = parameter_groups(network, 2, CONFIG)
    assert group["params"] == list(network.norm.parameters())


def factors(steps, **options):
    config = TrainConfig(**{"warmup_iters": 10, "warmup_ratio": 0.1, **options})
    return [rate_factor(step, config, 100) for step in steps]


def test_the_rate_falls_along_the_polynomial_and_the_warm_up_multiplies_it():
    assert factors([10, 50, 100, 101]) == pytest.approx([0.9, 0.5, 0.0, 0.0])
    assert factors([50], power=2.0) == pytest.approx([0.25])
    # As in mmcv, where the warm-up takes a share off the regular rate.
    assert factors([0, 5]) == pytest.approx([0.1, 0.95 * (1 - 0.5 * 0.9)])
    assert factors([0], warmup_iters=0) == [1.0]


@pytest.mark.parametrize(("given", "expected"), [(None, (0.1, False)), (0.4, (0.4, True))])
def test_what_the_recipe_says_goes_before_the_configuration(given, expected):
    network = tiny_network({"model.backbone.drop_path_rate": 0.1})
    twice = None if given is None else True
    arrange_network(network, TrainConfig(drop_path=given, checkpoint_activations=twice))
    blocks = [block for block in network.backbone.blocks if isinstance(block, Block)]
    rates = [block.drop_path.probability for block in blocks]
    assert rates == pytest.approx([expected[0] * i / 3 for i in range(4)])
    adapter = [m for m in network.backbone.interactions.modules() if isinstance(m, DropPath)]
    assert {m.probability for m in adapter} == {expected[0]}
    assert {block.with_cp for block in blocks} == {expected[1]}
