"""A tiny model's configuration, changed at will."""

import copy
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden"

WIDTH = 16
"""Channels of the tiny model's backbone and of its head."""

REMOVED = object()
"""In `tiny_config`'s changes: the key is taken out."""

SINE = {"type": "SinePositionalEncoding", "num_feats": WIDTH // 2, "normalize": True}

BACKBONE = {
    "type": "BEiTAdapter",
    "img_size": 64,
    "patch_size": 16,
    "embed_dim": WIDTH,
    "depth": 4,
    "num_heads": 2,
    "mlp_ratio": 2,
    "qkv_bias": True,
    "use_abs_pos_emb": False,
    "use_rel_pos_bias": True,
    "init_values": 1e-6,
    "drop_path_rate": 0.0,
    "conv_inplane": 4,
    "n_points": 2,
    "deform_num_heads": 2,
    "cffn_ratio": 0.5,
    "deform_ratio": 0.5,
    "interaction_indexes": [[0, 0], [1, 1], [2, 2], [3, 3]],
}

PIXEL_DECODER = {
    "type": "MSDeformAttnPixelDecoder",
    "num_outs": 3,
    "norm_cfg": {"type": "GN", "num_groups": 4},
    "act_cfg": {"type": "ReLU"},
    "encoder": {
        "type": "DetrTransformerEncoder",
        "num_layers": 1,
        "transformerlayers": {
            "type": "BaseTransformerLayer",
            "attn_cfgs": {
                "type": "MultiScaleDeformableAttention",
                "embed_dims": WIDTH,
                "num_heads": 2,
                "num_levels": 3,
                "num_points": 2,
                "dropout": 0.0,
            },
            "ffn_cfgs": {
                "type": "FFN",
                "embed_dims": WIDTH,
                "feedforward_channels": 24,
                "num_fcs": 2,
                "ffn_drop": 0.0,
                "act_cfg": {"type": "ReLU", "inplace": True},
            },
            "operation_order": ("self_attn", "norm", "ffn", "norm"),
        },
    },
    "positional_encoding": dict(SINE),
}

TRANSFORMER_DECODER = {
    "type": "DetrTransformerDecoder",
    "return_intermediate": True,
    "num_layers": 3,
    "transformerlayers": {
        "type": "DetrTransformerDecoderLayer",
        "attn_cfgs": {"type": "MultiheadAttention", "embed_dims": WIDTH, "num_heads": 2},
        "ffn_cfgs": {"embed_dims": WIDTH, "act_cfg": {"type": "ReLU", "inplace": True}},
        "feedforward_channels": 24,
        "operation_order": ("cross_attn", "norm", "self_attn", "norm", "ffn", "norm"),
    },
}

DECODE_HEAD = {
    "type": "Mask2FormerHeadFromMMSeg",
    "in_channels": [WIDTH] * 4,
    "feat_channels": WIDTH,
    "out_channels": 8,
    "in_index": [0, 1, 2, 3],
    "num_things_classes": 2,
    "num_stuff_classes": 3,
    "num_queries": 6,
    "num_transformer_feat_level": 3,
    "pixel_decoder": PIXEL_DECODER,
    "positional_encoding": dict(SINE),
    "transformer_decoder": TRANSFORMER_DECODER,
}

TINY = {
    "model": {
        "type": "EncoderDecoderMask2Former",
        "backbone": BACKBONE,
        "decode_head": DECODE_HEAD,
        "test_cfg": {"mode": "slide", "crop_size": (64, 64), "stride": (32, 32)},
    },
    "CLASSES": ["a", "b", "c", "d", "e"],
    "PALETTE": [[0, 0, 0], [10, 20, 30], [40, 50, 60], [70, 80, 90], [255, 255, 255]],
}


def tiny_config(changes=None):
    """A new configuration of the tiny model; `changes` maps dotted paths to values."""
    config = copy.deepcopy(TINY)
    for path, value in (changes or {}).items():
        *parents, key = path.split(".")
        target = config
        for parent in parents:
            target = target[parent]
        if value is REMOVED:
            target.pop(key, None)
        else:
            target[key] = copy.deepcopy(value)
    return config


def widths(*, backbone=WIDTH, head=WIDTH):
    """Changes of the tiny model that give its backbone and its head other channels."""
    decode_head = "model.decode_head"
    encoder = f"{decode_head}.pixel_decoder.encoder.transformerlayers"
    decoder = f"{decode_head}.transformer_decoder.transformerlayers"
    layers = (encoder, decoder)
    return {
        "model.backbone.embed_dim": backbone,
        f"{decode_head}.in_channels": [backbone] * 4,
        f"{decode_head}.feat_channels": head,
        **{f"{layer}.attn_cfgs.embed_dims": head for layer in layers},
        **{f"{layer}.ffn_cfgs.embed_dims": head for layer in layers},
        f"{decode_head}.positional_encoding.num_feats": head // 2,
        f"{decode_head}.pixel_decoder.positional_encoding.num_feats": head // 2,
    }
