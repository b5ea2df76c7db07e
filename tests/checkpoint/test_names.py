import json
from pathlib import Path

import pytest

from modelscope_vitadapter.checkpoint.names import (
    WRAPPER_PREFIXES,
    hub_name,
    hub_state_dict,
    is_left_over,
    is_optional,
    plan_names,
)
from modelscope_vitadapter.errors import CheckpointError

GOLDEN = Path(__file__).parents[1] / "golden"
FULL_SIZE = json.loads((GOLDEN / "full_size_state_dict.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "prefix", ["", *WRAPPER_PREFIXES, "module.model.", "model.module.", "module._orig_mod.model."]
)
def test_prefixes_come_off(prefix):
    wrapped = {prefix + name: number for number, name in enumerate(FULL_SIZE)}
    assert list(hub_state_dict(wrapped)) == list(FULL_SIZE)
    assert list(hub_state_dict(wrapped).values()) == list(wrapped.values())


@pytest.mark.parametrize("name", ["modules.a", "backbone.model.a", "model", "decode_head.module.x"])
def test_names_that_only_resemble_prefixes_stay(name):
    assert hub_name(name) == name


def test_two_entries_for_one_name_are_refused():
    with pytest.raises(CheckpointError, match=r"'a\.b' and 'module\.a\.b'"):
        plan_names(["a.b", "module.a.b"], [])


@pytest.mark.parametrize(
    ("name", "left_over"),
    [
        ("backbone.blocks.3.attn.relative_position_index", True),
        ("relative_position_index", True),
        ("backbone.rel_pos_bias.relative_position_bias_table", True),
        ("decode_head.conv_seg.weight", True),
        ("auxiliary_head.convs.0.conv.weight", True),
        ("decode_head.loss_cls.class_weight", True),
        ("decode_head.criterion.empty_weight", True),
        ("ema_backbone_cls_token", True),
        ("backbone.blocks.3.attn.relative_position_bias_table", False),
        ("backbone.conv_seg.weight", False),
        ("backbone.rel_pos_bias", False),
        ("backbone.schema_x", False),
        ("head.weight", False),
    ],
)
def test_left_overs_of_training(name, left_over):
    assert is_left_over(name) == left_over
    plan = plan_names([f"module.{name}"], [])
    assert (plan.ignored, plan.unexpected)[not left_over] == (f"module.{name}",)
    used = plan_names([f"module.{name}"], [name])
    assert used.used == {name: f"module.{name}"}
    assert used.ignored == used.unexpected == used.missing == ()


def test_only_counters_may_be_absent():
    assert is_optional("backbone.norm1.num_batches_tracked")
    plan = plan_names([], ["n.num_batches_tracked", "n.running_mean", "n.weight"])
    assert plan.missing == ("n.running_mean", "n.weight")


def test_of_the_full_size_model_all_but_the_index_buffers_is_used():
    wanted = [name for name in FULL_SIZE if not is_left_over(name)]
    assert len(FULL_SIZE) - len(wanted) == 24  # one index buffer per block
    plan = plan_names(FULL_SIZE, wanted)
    assert list(plan.used) == wanted
    assert plan.missing == plan.unexpected == ()
