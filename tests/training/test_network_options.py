import pytest
from torch import nn

from modelscope_vitadapter.network.beit import Block
from modelscope_vitadapter.network.drop_path import DropPath
from modelscope_vitadapter.training.network_options import (
    arrange_network,
    is_frozen,
    train_unfrozen,
)
from modelscope_vitadapter.training.train_config import FREEZE, TrainConfig
from tests.support.networks import tiny_network


@pytest.mark.parametrize(
    ("name", "frozen"),
    [
        ("backbone.blocks.0.mlp.fc1.weight", {"beit", "backbone"}),
        ("backbone.patch_embed.proj.weight", {"beit", "backbone"}),
        ("backbone.cls_token", {"beit", "backbone"}),
        ("backbone.interactions.0.injector.gamma", {"backbone"}),
        ("backbone.spm.fc1.weight", {"backbone"}),
        ("backbone.norm1.weight", {"backbone"}),
        ("backbone", {"backbone"}),
        ("decode_head.cls_embed.weight", set()),
    ],
)
def test_which_parts_are_frozen(name, frozen):
    assert {freeze for freeze in FREEZE if is_frozen(name, freeze)} == frozen


def test_frozen_norms_stay_in_evaluation_mode():
    network = tiny_network()
    train_unfrozen(network, "backbone")
    assert not any(module.training for module in network.backbone.modules())
    assert all(module.training for module in network.decode_head.modules())
    train_unfrozen(network, "beit")
    norms = [m for m in network.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert all(norm.training for norm in norms)
    assert not any(module.training for module in network.backbone.blocks.modules())


def test_gradients_are_taken_from_frozen_parameters_and_given_to_no_other(caplog):
    caplog.set_level("INFO")
    network = tiny_network()
    network.decode_head.cls_embed.bias.requires_grad_(False)
    arrange_network(network, TrainConfig(), freeze="beit")
    trained = {name: p.numel() for name, p in network.named_parameters() if p.requires_grad}
    assert "decode_head.cls_embed.bias" not in trained
    assert "backbone.level_embed" in trained
    assert not any(name.startswith("backbone.blocks") for name in trained)
    total = sum(p.numel() for p in network.parameters())
    assert f"{sum(trained.values())} of {total} parameters are trained" in caplog.text


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
