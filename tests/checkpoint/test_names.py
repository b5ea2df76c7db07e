import json

import pytest

from modelscope_vitadapter.checkpoint.names import hub_names, is_left_over, plan_names
from tests.support.configs import GOLDEN

FULL_SIZE = json.loads((GOLDEN / "full_size_state_dict.json").read_text(encoding="utf-8"))


def test_names_that_only_resemble_prefixes_stay():
    names = ["modules.a", "backbone.model.a", "model", "decode_head.module.x"]
    assert hub_names(names) == dict(zip(names, names, strict=True))


LEFT_OVERS = [
    *("backbone.blocks.3.attn.relative_position_index", "relative_position_index"),
    *("backbone.rel_pos_bias.relative_position_bias_table", "decode_head.conv_seg.weight"),
    *("auxiliary_head.convs.0.conv.weight", "decode_head.loss_cls.class_weight"),
    *("decode_head.criterion.empty_weight", "ema_backbone_cls_token"),
]
OTHERS = [
    *("backbone.blocks.3.attn.relative_position_bias_table", "backbone.conv_seg.weight"),
    *("backbone.rel_pos_bias", "backbone.schema_x", "head.weight"),
]


@pytest.mark.parametrize("name", LEFT_OVERS + OTHERS)
def test_left_overs_of_training(name):
    assert is_left_over(name) == is_left_over(f"module.{name}") == (name in LEFT_OVERS)
    assert plan_names([f"module.{name}"], [name]) == {name: f"module.{name}"}


def test_of_the_full_size_model_all_but_the_index_buffers_is_used():
    wanted = [name for name in FULL_SIZE if not is_left_over(name)]
    assert len(FULL_SIZE) - len(wanted) == 24  # one index buffer per block
    assert list(plan_names(FULL_SIZE, wanted)) == wanted
