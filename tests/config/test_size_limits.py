import pytest

import modelscope_vitadapter.config.size_limits as limits
from modelscope_vitadapter.config.model_config import parse_model
from modelscope_vitadapter.config.reader import read_config
from modelscope_vitadapter.config.size_limits import count_parts
from modelscope_vitadapter.errors import ConfigError
from modelscope_vitadapter.network.build import build_network
from tests.support.configs import GOLDEN, LEARNED, REMOVED, tiny_config

BACKBONE = "model.backbone"
HEAD = "model.decode_head"
PIXEL = f"{HEAD}.pixel_decoder"
ENCODER = f"{PIXEL}.encoder"
ENCODER_LAYER = f"{ENCODER}.transformerlayers"
DECODER = f"{HEAD}.transformer_decoder"
DECODER_LAYER = f"{DECODER}.transformerlayers"
PRELU = {"type": "PReLU", "num_parameters": 16}

CHANGES = [
    {},
    {f"{BACKBONE}.depth": 7},
    {f"{BACKBONE}.num_heads": 5},
    {f"{BACKBONE}.mlp_ratio": 2.3},
    {f"{BACKBONE}.qkv_bias": False},
    {f"{BACKBONE}.init_values": 0.0},
    {f"{BACKBONE}.img_size": (96, 48)},
    {f"{BACKBONE}.use_rel_pos_bias": False},
    {f"{BACKBONE}.use_shared_rel_pos_bias": True},
    {f"{BACKBONE}.use_abs_pos_emb": True, f"{BACKBONE}.pretrain_size": 64},
    {f"{BACKBONE}.conv_inplane": 5},
    {f"{BACKBONE}.n_points": 3},
    {f"{BACKBONE}.deform_num_heads": 4, f"{BACKBONE}.deform_ratio": 1.0},
    {f"{BACKBONE}.with_cffn": False},
    {f"{BACKBONE}.cffn_ratio": 0.3},
    {f"{BACKBONE}.interaction_indexes": [[0, 3]], f"{BACKBONE}.add_vit_feature": False},
    {f"{HEAD}.out_channels": 12},
    {f"{HEAD}.num_queries": 11, f"{HEAD}.num_stuff_classes": 30},
    {f"{HEAD}.enforce_decoder_input_project": True},
    {f"{HEAD}.positional_encoding": LEARNED | {"row_num_embed": 7}},
    {f"{PIXEL}.positional_encoding": LEARNED},
    {f"{PIXEL}.norm_cfg": None},
    {f"{PIXEL}.norm_cfg": {"type": "BN"}},
    {f"{PIXEL}.norm_cfg": {"type": "BN", "affine": False, "track_running_stats": False}},
    {f"{PIXEL}.norm_cfg": {"type": "IN", "affine": True, "track_running_stats": True}},
    {f"{PIXEL}.act_cfg": PRELU},
    {f"{PIXEL}.act_cfg": None},
    {f"{ENCODER}.num_layers": 3, f"{ENCODER_LAYER}.attn_cfgs.num_points": 5},
    {f"{ENCODER_LAYER}.ffn_cfgs.num_fcs": 4, f"{ENCODER_LAYER}.ffn_cfgs.act_cfg": PRELU},
    {f"{ENCODER_LAYER}.norm_cfg": {"type": "LN", "elementwise_affine": False}},
    {
        f"{ENCODER_LAYER}.operation_order": ("norm", "self_attn", "norm", "ffn"),
        f"{ENCODER}.post_norm_cfg": {"type": "LN"},
    },
    {
        f"{ENCODER_LAYER}.attn_cfgs.num_levels": 2,
        f"{HEAD}.num_transformer_feat_level": 2,
        f"{PIXEL}.act_cfg": PRELU,
        f"{PIXEL}.norm_cfg": None,
    },
    {f"{DECODER}.num_layers": 5, f"{DECODER_LAYER}.feedforward_channels": 40},
    {f"{DECODER_LAYER}.ffn_num_fcs": 3, f"{DECODER_LAYER}.ffn_cfgs.act_cfg": PRELU},
    {f"{DECODER_LAYER}.norm_cfg": {"type": "LN", "elementwise_affine": False}},
    {f"{DECODER}.post_norm_cfg": {"type": "LN", "elementwise_affine": False}},
]


def counted(settings):
    parts = count_parts(settings).values()
    return sum(part[0] for part in parts), sum(part[1] for part in parts)


def built(settings):
    network = build_network(settings)
    tensors = [*network.parameters(), *network.buffers()]
    return sum(tensor.numel() for tensor in tensors), len(tensors)


@pytest.mark.parametrize("changes", CHANGES, ids=lambda changes: ",".join(changes) or "tiny")
def test_counts_are_those_of_the_network(changes):
    settings = parse_model(tiny_config(changes))
    assert counted(settings) == built(settings)


@pytest.mark.parametrize(
    "path", sorted(GOLDEN.rglob("mmcv_config.py")), ids=lambda p: p.parent.name
)
def test_counts_of_golden_models(path):
    settings = parse_model(read_config(path))
    assert counted(settings) == built(settings)


def test_the_hubs_model_is_far_within_the_bounds():
    settings = parse_model(read_config(GOLDEN / "full_size_mmcv_config.py"))
    numbers, tensors = counted(settings)
    assert 5.6e8 < numbers < 5.8e8
    assert numbers < limits.MAX_PARAMETERS / 10
    assert tensors < limits.MAX_TENSORS / 5
    area = settings.windows.crop_size[0] * settings.windows.crop_size[1]
    largest = max(limits.values_per_pixel(settings).values())
    assert largest * area < limits.MAX_WINDOW_VALUES / 10


def test_the_error_names_the_settings_that_matter():
    changes = {f"{BACKBONE}.depth": 900, f"{HEAD}.num_queries": 50_000}
    with pytest.raises(ConfigError, match=r"tensors, expected at most.*depth = 900"):
        parse_model(tiny_config(changes))
    changes = {f"{ENCODER_LAYER}.ffn_cfgs.feedforward_channels": 2**20,
               f"{ENCODER_LAYER}.ffn_cfgs.num_fcs": 3}  # fmt: skip
    with pytest.raises(ConfigError, match=r"parameters.*feedforward_channels = 1048576"):
        parse_model(tiny_config(changes))


def test_windows_that_no_machine_has_memory_for(monkeypatch):
    config = tiny_config()
    parse_model(config)
    monkeypatch.setattr(limits, "MAX_WINDOW_VALUES", 64 * 64 - 1)
    with pytest.raises(ConfigError, match=r"crop_size = \(64, 64\).*embed_dim = 16"):
        parse_model(config)
    whole = tiny_config({"model.test_cfg": {"mode": "whole"}})
    with pytest.raises(ConfigError, match=r"img_size = \(64, 64\)"):
        parse_model(whole)


@pytest.mark.parametrize(
    ("stride", "said"),
    [((65, 64), "at most crop_size"), ((64, 65), "at most crop_size"), ((1, 1), None)],
)
def test_strides(stride, said):
    config = tiny_config({"model.test_cfg.stride": stride})
    if said is None:
        assert parse_model(config).windows.stride == stride
    else:
        with pytest.raises(ConfigError, match=said):
            parse_model(config)
    config = tiny_config({"model.test_cfg.crop_size": 65, "model.test_cfg.stride": 1})
    with pytest.raises(ConfigError, match="4096 windows"):
        parse_model(config)


@pytest.mark.parametrize("value", [2**1024 - 1, float("nan"), float("inf"), True, "x"])
def test_scales_that_are_no_finite_numbers(value):
    with pytest.raises(ConfigError, match="qk_scale"):
        parse_model(tiny_config({f"{BACKBONE}.qk_scale": value}))


def test_messages_stay_short():
    with pytest.raises(ConfigError) as caught:
        parse_model(tiny_config({f"{BACKBONE}.depth": [0] * 100_000}))
    assert len(str(caught.value)) < 500
    with pytest.raises(ConfigError) as caught:
        parse_model(tiny_config({f"{BACKBONE}.pretrained": REMOVED, "model.x": "y" * 10**6}))
    assert len(str(caught.value)) < 500
