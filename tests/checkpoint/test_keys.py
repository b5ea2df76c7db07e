import json

import pytest

from modelscope_vitadapter.checkpoint.keys import (
    WRAPPER_PREFIXES,
    hub_name,
    hub_names,
    hub_state_dict,
    is_left_over,
    is_optional,
    plan_keys,
    wrapped_name,
)
from modelscope_vitadapter.errors import CheckpointError


@pytest.fixture
def full_size(golden):
    return json.loads((golden / "full_size_state_dict.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "prefix", ["", *WRAPPER_PREFIXES, "module.model.", "model.module.", "module._orig_mod.model."]
)
def test_prefixes_come_off_and_go_on(full_size, prefix):
    for name in full_size:
        assert hub_name(wrapped_name(name, prefix)) == name
    assert list(hub_names(prefix + name for name in full_size)) == list(full_size)


def test_names_that_only_resemble_prefixes_stay():
    for name in ("modules.a", "backbone.model.a", "model", "decode_head.module.x"):
        assert hub_name(name) == name


def test_two_entries_for_one_name_are_refused():
    with pytest.raises(CheckpointError, match=r"'a\.b' and 'module\.a\.b'"):
        hub_names(["a.b", "module.a.b"])


def test_a_state_dict_is_renamed_in_order():
    assert list(hub_state_dict({"model.b": 2, "model.a": 1}).items()) == [("b", 2), ("a", 1)]


@pytest.mark.parametrize(
    "name",
    [
        "backbone.blocks.3.attn.relative_position_index",
        "relative_position_index",
        "backbone.rel_pos_bias.relative_position_bias_table",
        "backbone.rel_pos_bias.relative_position_index",
        "decode_head.conv_seg.weight",
        "decode_head.conv_seg.bias",
        "auxiliary_head.convs.0.conv.weight",
        "decode_head.loss_cls.class_weight",
        "decode_head.criterion.empty_weight",
        "ema_backbone_cls_token",
    ],
)
def test_left_overs(name):
    assert is_left_over(name)
    assert plan_keys([name], []).ignored == (name,)


@pytest.mark.parametrize(
    "name",
    [
        "backbone.blocks.3.attn.relative_position_bias_table",
        "backbone.conv_seg.weight",
        "decode_head.cls_embed.weight",
        "backbone.rel_pos_bias",
        "backbone.schema_x",
        "head.weight",
    ],
)
def test_no_left_overs(name):
    assert not is_left_over(name)
    assert plan_keys([name], []).unexpected == (name,)


def test_a_left_over_that_the_network_has_is_used():
    name = "backbone.rel_pos_bias.relative_position_bias_table"
    plan = plan_keys(["module." + name], [name])
    assert plan.used == {name: "module." + name}
    assert plan.ignored == plan.unexpected == plan.missing == ()


def test_only_counters_may_be_absent():
    assert is_optional("backbone.norm1.num_batches_tracked")
    plan = plan_keys([], ["n.num_batches_tracked", "n.running_mean", "n.weight"])
    assert plan.missing == ("n.running_mean", "n.weight")


def test_full_size_names_are_all_used_or_known(full_size):
    wanted = [name for name in full_size if not is_left_over(name)]
    assert len(full_size) - len(wanted) == 24  # one index buffer per block, nothing else
    plan = plan_keys([f"module.{name}" for name in full_size], wanted)
    assert plan.missing == plan.unexpected == ()
    assert dict(plan.used) == {name: f"module.{name}" for name in wanted}
    assert set(plan.ignored) == {f"module.{name}" for name in full_size if name not in wanted}
