"""Settings that are absurd, alone or together: refused before anything of that size is made."""

import time

import pytest

from modelscope_vitadapter.checkpoint.load import load_into
from modelscope_vitadapter.config.model_config import parse_model
from modelscope_vitadapter.errors import CheckpointError, ConfigError
from modelscope_vitadapter.network.build import build_network
from tests.support.configs import GOLDEN, tiny_config
from tests.support.peak import peak, reset_peak

BACKBONE, HEAD = "model.backbone", "model.decode_head"
ENCODER = f"{HEAD}.pixel_decoder.encoder"
DECODER = f"{HEAD}.transformer_decoder"
LAYERS = f"{ENCODER}.transformerlayers", f"{DECODER}.transformerlayers"
WINDOWS = "model.test_cfg"

SIZES = [
    *(f"{BACKBONE}.{n}" for n in ("embed_dim", "depth", "num_heads", "mlp_ratio", "img_size")),
    *(f"{BACKBONE}.{n}" for n in ("conv_inplane", "n_points", "deform_num_heads", "deform_ratio")),
    *(f"{BACKBONE}.{n}" for n in ("cffn_ratio", "drop_path_rate")),
    *(f"{HEAD}.{n}" for n in ("feat_channels", "out_channels", "num_queries")),
    *(f"{HEAD}.{n}" for n in ("num_things_classes", "num_stuff_classes")),
    f"{HEAD}.pixel_decoder.norm_cfg.num_groups",
    *(f"{part}.num_layers" for part in (ENCODER, DECODER)),
    *(f"{layer}.attn_cfgs.num_heads" for layer in LAYERS),
    f"{LAYERS[0]}.attn_cfgs.num_points",
    f"{LAYERS[0]}.ffn_cfgs.feedforward_channels",
    f"{LAYERS[1]}.feedforward_channels",
    *(f"{WINDOWS}.{n}" for n in ("crop_size", "stride")),
]
ABSURD = [10**9, 10**300, 1e300, -1, True, "9" * 50_000, float("nan"), [0] * 50_000]


@pytest.mark.parametrize("setting", SIZES)
def test_one_absurd_size(setting):
    for value in ABSURD:
        with pytest.raises(ConfigError, match=setting.split(".")[-1]) as caught:
            parse_model(tiny_config({setting: value}))
        assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    "changes",
    [
        {f"{BACKBONE}.mlp_ratio": 64, f"{BACKBONE}.depth": 128},
        {f"{BACKBONE}.img_size": 65536, f"{BACKBONE}.num_heads": 16},
        {f"{ENCODER}.num_layers": 128, f"{DECODER}.num_layers": 128},
        {f"{LAYERS[0]}.ffn_cfgs.feedforward_channels": 65536},
        {f"{WINDOWS}.crop_size": 4096, f"{WINDOWS}.stride": 1},
        {f"{WINDOWS}.stride": 65},
        {f"{BACKBONE}.interaction_indexes": [[0] * 50_000, [1, 1], [2, 2], [3, 3]]},
        {f"model.{'x' * 1_000_000}": 1},
    ],
)
def test_sizes_that_are_absurd_together_take_neither_memory_nor_time(changes):
    """What is no setting's fault alone does not fit the weights, and is made without memory."""
    import torch

    reset_peak()
    before, started = peak(), time.process_time()
    with pytest.raises((ConfigError, CheckpointError)) as caught, torch.device("meta"):
        network = build_network(parse_model(tiny_config(changes)))
        load_into(network, GOLDEN / "base" / "pytorch_model.pt")
    assert len(str(caught.value)) < 10_000
    assert peak() - before < 100e6
    assert time.process_time() - started < 30
