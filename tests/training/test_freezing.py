import pytest
from torch import nn

from modelscope_vitadapter.training.freezing import (
    Freeze,
    freeze_parameters,
    is_frozen,
    parse_freeze,
    train_unfrozen,
)
from tests.support.networks import tiny_network


@pytest.mark.parametrize(
    ("name", "frozen"),
    [
        ("backbone.blocks.0.mlp.fc1.weight", {Freeze.BEIT, Freeze.BACKBONE}),
        ("backbone.patch_embed.proj.weight", {Freeze.BEIT, Freeze.BACKBONE}),
        ("backbone.cls_token", {Freeze.BEIT, Freeze.BACKBONE}),
        ("backbone.interactions.0.injector.gamma", {Freeze.BACKBONE}),
        ("backbone.spm.fc1.weight", {Freeze.BACKBONE}),
        ("backbone.norm1.weight", {Freeze.BACKBONE}),
        ("backbone", {Freeze.BACKBONE}),
        ("decode_head.cls_embed.weight", set()),
    ],
)
def test_which_parts_are_frozen(name, frozen):
    assert {freeze for freeze in Freeze if is_frozen(name, freeze)} == frozen


def test_frozen_norms_stay_in_evaluation_mode():
    network = tiny_network()
    train_unfrozen(network, Freeze.BACKBONE)
    assert not any(module.training for module in network.backbone.modules())
    assert all(module.training for module in network.decode_head.modules())
    train_unfrozen(network, Freeze.BEIT)
    norms = [m for m in network.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert all(norm.training for norm in norms)
    assert not any(module.training for module in network.backbone.blocks.modules())


def test_gradients_are_taken_from_frozen_parameters_only():
    network = tiny_network()
    network.decode_head.cls_embed.bias.requires_grad_(False)
    freeze_parameters(network, Freeze.BEIT)
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    assert "decode_head.cls_embed.bias" not in trained
    assert "backbone.level_embed" in trained
    assert not any(name.startswith("backbone.blocks") for name in trained)


def test_the_option_is_read():
    assert parse_freeze(None) is Freeze.NOTHING
    assert parse_freeze("beit") is Freeze.BEIT
    with pytest.raises(ValueError, match="freeze is 'head': expected one of 'nothing', 'beit'"):
        parse_freeze("head")
