"""What the tests of the processor's path share: bands of a few rows, and products in plain."""

import sys

import pytest

from modelscope_vitadapter.config.settings import AdapterForm
from modelscope_vitadapter.network.cpu import (
    attention,
    backbone,
    bands,
    convolution,
    linear,
    padding,
)
from modelscope_vitadapter.network.cpu import segmentor as _  # noqa: F401  imports all others
from tests.support.networks import tiny_network

LOW = 3
"""Rows of a band where bands are low."""

PATH = backbone.__name__.rpartition(".")[0]


@pytest.fixture
def low_bands(monkeypatch):
    """Cuts everything into bands of at most three rows, so that small maps have several."""
    whole = bands.bands

    def low(rows, height=LOW):
        return whole(rows, min(height, LOW))

    for name, module in list(sys.modules.items()):
        if name.startswith(f"{PATH}.") and getattr(module, "bands", None) is whole:
            monkeypatch.setattr(module, "bands", low)
    assert attention.bands is low
    assert padding.bands is low


@pytest.fixture(params=["whole", "low"])
def banding(request):
    """Runs a test with bands as they are, which hold small maps whole, and with low ones."""
    if request.param == "low":
        request.getfixturevalue("low_bands")


@pytest.fixture
def unpacked(monkeypatch):
    """Linear layers as on a PyTorch without the operators that reorder weights."""
    monkeypatch.setattr(linear, "can_pack", lambda dtype: False)


@pytest.fixture(params=["packed", "unpacked"])
def packing(request):
    """Runs a test with reordered weights and without."""
    if request.param == "unpacked":
        request.getfixturevalue("unpacked")
    elif not linear.can_pack(linear.torch.float32):
        pytest.skip("this PyTorch has no operators that reorder weights")


@pytest.fixture(params=["tiles", "no tiles"])
def tiling(request, monkeypatch):
    """Runs a test as on a processor with matrix tiles and as on one without."""
    for module in (attention, bands, convolution):
        monkeypatch.setattr(module, "has_matrix_tiles", lambda: request.param == "tiles")


BACKBONE = "model.backbone"
HEAD = "model.decode_head"
PIXEL = f"{HEAD}.pixel_decoder"
ENCODER_LAYER = f"{PIXEL}.encoder.transformerlayers"
DECODER_LAYER = f"{HEAD}.transformer_decoder.transformerlayers"

PRE_NORM = ("norm", "cross_attn", "norm", "self_attn", "norm", "ffn")
ANOTHER_ORDER = ("cross_attn", "ffn", "norm", "self_attn", "norm", "ffn")

BACKBONES = {
    "plain": {},
    "no position bias": {f"{BACKBONE}.use_rel_pos_bias": False},
    "shared position bias": {f"{BACKBONE}.use_shared_rel_pos_bias": True},
    "no qkv bias": {f"{BACKBONE}.qkv_bias": False},
    "scale": {f"{BACKBONE}.qk_scale": 0.9},
    "five heads": {f"{BACKBONE}.num_heads": 5},
    "rectangular training window": {f"{BACKBONE}.img_size": (64, 96)},
    "smaller training window": {f"{BACKBONE}.img_size": 32},
    "larger training window": {f"{BACKBONE}.img_size": 128},
    "absolute positions": {
        f"{BACKBONE}.use_abs_pos_emb": True,
        f"{BACKBONE}.pretrain_size": 64,
    },
    "absolute positions laid out otherwise": {
        f"{BACKBONE}.use_abs_pos_emb": True,
        f"{BACKBONE}.use_rel_pos_bias": False,
        f"{BACKBONE}.img_size": (32, 64),
        f"{BACKBONE}.pretrain_size": 48,
    },
    "no feed-forward networks in extractors": {f"{BACKBONE}.with_cffn": False},
    "no ViT features": {f"{BACKBONE}.add_vit_feature": False},
    "two stages": {
        f"{BACKBONE}.add_vit_feature": False,
        f"{BACKBONE}.interaction_indexes": [[0, 1], [2, 3]],
    },
    "overlapping stages": {f"{BACKBONE}.interaction_indexes": [[0, 1], [1, 2], [2, 3], [0, 3]]},
    "wide values": {f"{BACKBONE}.deform_ratio": 2.0, f"{BACKBONE}.deform_num_heads": 4},
    "narrow values": {f"{BACKBONE}.deform_ratio": 0.25, f"{BACKBONE}.n_points": 3},
    "drop rates": {
        f"{BACKBONE}.drop_rate": 0.3,
        f"{BACKBONE}.attn_drop_rate": 0.3,
        f"{BACKBONE}.drop_path_rate": 0.5,
        f"{BACKBONE}.with_cp": True,
    },
}

PIXEL_DECODERS = {
    "no norm": {f"{PIXEL}.norm_cfg": None},
    "batch norm": {f"{PIXEL}.norm_cfg": {"type": "BN", "eps": 1e-3}},
    "batch norm of its input": {f"{PIXEL}.norm_cfg": {"type": "BN", "track_running_stats": False}},
    "instance norm": {f"{PIXEL}.norm_cfg": {"type": "IN"}},
    "affine instance norm": {f"{PIXEL}.norm_cfg": {"type": "IN", "affine": True}},
    "group norm without affine": {
        f"{PIXEL}.norm_cfg": {"type": "GN", "num_groups": 8, "affine": False}
    },
    "no activation": {f"{PIXEL}.act_cfg": None},
    "GELU": {f"{PIXEL}.act_cfg": {"type": "GELU"}},
    "PReLU of channels": {f"{PIXEL}.act_cfg": {"type": "PReLU", "num_parameters": 16}},
    "encoder with PReLU": {f"{ENCODER_LAYER}.ffn_cfgs.act_cfg": {"type": "PReLU"}},
    "encoder with three linear layers": {
        f"{ENCODER_LAYER}.ffn_cfgs.num_fcs": 3,
        f"{ENCODER_LAYER}.ffn_cfgs.act_cfg": {"type": "GELU"},
    },
    "encoder in another order": {
        f"{ENCODER_LAYER}.operation_order": ("self_attn", "ffn", "norm", "ffn")
    },
    "encoder without identity": {
        f"{ENCODER_LAYER}.ffn_cfgs.add_identity": False,
        f"{ENCODER_LAYER}.ffn_cfgs.ffn_drop": 0.4,
        f"{ENCODER_LAYER}.attn_cfgs.dropout": 0.4,
    },
    "three encoder layers": {
        f"{PIXEL}.encoder.num_layers": 3,
        f"{ENCODER_LAYER}.attn_cfgs.num_heads": 8,
        f"{ENCODER_LAYER}.attn_cfgs.num_points": 5,
    },
    "learned positions": {
        f"{PIXEL}.positional_encoding": {"type": "LearnedPositionalEncoding", "num_feats": 8}
    },
}

DECODERS = {
    "projected": {f"{HEAD}.enforce_decoder_input_project": True},
    "more layers than levels": {f"{HEAD}.transformer_decoder.num_layers": 5},
    "decoder with GELU": {f"{DECODER_LAYER}.ffn_cfgs.act_cfg": {"type": "GELU"}},
    "decoder in pre-norm": {f"{DECODER_LAYER}.operation_order": PRE_NORM},
    "decoder in another order": {
        f"{DECODER_LAYER}.operation_order": ANOTHER_ORDER,
        f"{HEAD}.transformer_decoder.post_norm_cfg": {"type": "LN", "eps": 1e-2},
    },
    "learned positions of the head": {
        f"{HEAD}.positional_encoding": {"type": "LearnedPositionalEncoding", "num_feats": 8}
    },
    "eight heads": {f"{DECODER_LAYER}.attn_cfgs.num_heads": 8},
    "decoder drop rates": {
        f"{DECODER_LAYER}.attn_cfgs.attn_drop": 0.4,
        f"{DECODER_LAYER}.attn_cfgs.proj_drop": 0.4,
        f"{DECODER_LAYER}.ffn_cfgs.dropout_layer": {"type": "DropPath", "drop_prob": 0.4},
    },
    "more output channels": {f"{HEAD}.out_channels": 20},
}

NOT_SERVED = {
    "encoder in pre-norm": {
        f"{ENCODER_LAYER}.operation_order": ("norm", "self_attn", "norm", "ffn"),
        f"{PIXEL}.encoder.post_norm_cfg": {"type": "LN", "eps": 1e-3},
    },
    "encoder that begins otherwise": {
        f"{ENCODER_LAYER}.operation_order": ("ffn", "norm", "self_attn", "norm")
    },
    "two levels": {
        f"{ENCODER_LAYER}.attn_cfgs.num_levels": 2,
        f"{HEAD}.num_transformer_feat_level": 2,
    },
    "four levels": {
        f"{ENCODER_LAYER}.attn_cfgs.num_levels": 4,
        f"{HEAD}.num_transformer_feat_level": 4,
        f"{PIXEL}.num_outs": 4,
    },
    "one level": {
        f"{ENCODER_LAYER}.attn_cfgs.num_levels": 1,
        f"{HEAD}.num_transformer_feat_level": 1,
    },
}


def _networks(settings, request):
    form = AdapterForm.AUTHORS if request.param == "authors' form" else AdapterForm.BUILTIN
    return tiny_network(settings.get(request.param), form=form)


@pytest.fixture(scope="module", params=[*BACKBONES, "authors' form"])
def backbone_variant(request):
    """A tiny network with another backbone."""
    return _networks(BACKBONES, request)


@pytest.fixture(scope="module", params=["plain", *PIXEL_DECODERS])
def pixel_decoder_variant(request):
    """A tiny network with another pixel decoder."""
    return _networks(PIXEL_DECODERS, request)


@pytest.fixture(scope="module", params=["plain", *DECODERS])
def decoder_variant(request):
    """A tiny network with another masked-attention decoder."""
    return _networks(DECODERS, request)


@pytest.fixture(scope="module", params=[*BACKBONES, *PIXEL_DECODERS, *DECODERS, "authors' form"])
def variant(request):
    """A tiny network of any kind that the processor's path serves."""
    return _networks(BACKBONES | PIXEL_DECODERS | DECODERS, request)


@pytest.fixture(scope="module", params=NOT_SERVED)
def other_variant(request):
    """A tiny network that the processor's path does not serve."""
    return _networks(NOT_SERVED, request)
