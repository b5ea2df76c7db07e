# ruff: noqa: C408  (configurations are spelled as in mmcv_config.py: dict(...))
"""Configurations of the small models that `make_variants.py` asks the built-in model about.

Each variant changes several settings of one small model at once. `PATCHES` lists the changes as
paths into the configuration; every setting that the built-in model reads from its configuration,
and that it can run with, is changed in at least one of them.
"""

import copy

PALETTE_STEP = (67, 101, 29)


def attention_layers(feat: int, levels: int) -> dict:
    """The pixel decoder's encoder over `levels` maps."""
    return dict(
        type="DetrTransformerEncoder",
        num_layers=2,
        transformerlayers=dict(
            type="BaseTransformerLayer",
            attn_cfgs=dict(
                type="MultiScaleDeformableAttention",
                embed_dims=feat,
                num_heads=2,
                num_levels=levels,
                num_points=2,
                dropout=0.0,
            ),
            ffn_cfgs=dict(
                type="FFN",
                embed_dims=feat,
                feedforward_channels=24,
                num_fcs=2,
                ffn_drop=0.0,
                act_cfg=dict(type="ReLU", inplace=True),
            ),
            operation_order=("self_attn", "norm", "ffn", "norm"),
        ),
    )


def decoder_layers(feat: int) -> dict:
    """The masked-attention decoder."""
    return dict(
        type="DetrTransformerDecoder",
        return_intermediate=True,
        num_layers=3,
        transformerlayers=dict(
            type="DetrTransformerDecoderLayer",
            attn_cfgs=dict(type="MultiheadAttention", embed_dims=feat, num_heads=2),
            ffn_cfgs=dict(
                embed_dims=feat, num_fcs=2, act_cfg=dict(type="ReLU", inplace=True), ffn_drop=0.0
            ),
            feedforward_channels=24,
            operation_order=("cross_attn", "norm", "self_attn", "norm", "ffn", "norm"),
        ),
    )


def base_config(embed_dim: int = 16, feat: int = 16, levels: int = 3) -> dict:
    """The model that every variant starts from."""
    sine = dict(type="SinePositionalEncoding", num_feats=feat // 2, normalize=True)
    backbone = dict(
        type="BEiTAdapter", img_size=64, patch_size=16, embed_dim=embed_dim, depth=4, num_heads=3,
        mlp_ratio=2, qkv_bias=True, use_abs_pos_emb=False, use_rel_pos_bias=True,
        use_shared_rel_pos_bias=False, init_values=1e-6, drop_path_rate=0.3, conv_inplane=3,
        n_points=2, deform_num_heads=4, cffn_ratio=0.25, deform_ratio=0.5, with_cp=False,
        add_vit_feature=True, interaction_indexes=[[0, 0], [1, 1], [2, 2], [3, 3]],
    )  # fmt: skip
    head = dict(
        type="Mask2FormerHeadFromMMSeg", in_channels=[embed_dim] * 4, feat_channels=feat,
        out_channels=feat, in_index=[0, 1, 2, 3], num_things_classes=4, num_stuff_classes=5,
        num_queries=12, num_transformer_feat_level=levels,
        pixel_decoder=dict(
            type="MSDeformAttnPixelDecoder", num_outs=3, norm_cfg=dict(type="GN", num_groups=4),
            act_cfg=dict(type="ReLU"), encoder=attention_layers(feat, levels),
            positional_encoding=dict(sine),
        ),
        enforce_decoder_input_project=False, positional_encoding=dict(sine),
        transformer_decoder=decoder_layers(feat),
        loss_cls=dict(type="CrossEntropyLoss", class_weight=[1.0] * 10),
        loss_mask=dict(type="CrossEntropyLoss", use_sigmoid=True),
        loss_dice=dict(type="DiceLoss", use_sigmoid=True, activate=True),
    )  # fmt: skip
    model = dict(
        type="EncoderDecoderMask2Former", pretrained=None, backbone=backbone, decode_head=head,
        test_cfg=dict(mode="slide", crop_size=(64, 64), stride=(48, 48)),
    )  # fmt: skip
    transforms = [
        dict(type="Resize", keep_ratio=True),
        dict(type="ResizeToMultiple", size_divisor=32),
        dict(type="RandomFlip"),
        dict(
            type="Normalize",
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            to_rgb=True,
        ),
        dict(type="ImageToTensor", keys=["img"]),
        dict(type="Collect", keys=["img"]),
    ]
    augment = dict(type="MultiScaleFlipAug", img_scale=(256, 64), flip=False, transforms=transforms)
    pipeline = [dict(type="LoadImageFromFile"), augment]
    return dict(model=model, data=dict(test=dict(pipeline=pipeline)))


BACKBONE = "model.backbone."
HEAD = "model.decode_head."
PIXEL = HEAD + "pixel_decoder."
ENCODER = PIXEL + "encoder."
DECODER = HEAD + "transformer_decoder."
AUGMENT = "data.test.pipeline.1."
TRANSFORMS = AUGMENT + "transforms."
WINDOWS = "model.test_cfg"
REMOVE = "remove"

PATCHES: dict[str, dict] = {
    "plain_attention": {
        "embed_dim": 24,
        BACKBONE + "num_heads": 3,
        BACKBONE + "qkv_bias": False,
        BACKBONE + "use_rel_pos_bias": False,
        BACKBONE + "deform_num_heads": 4,
        BACKBONE + "deform_ratio": 1.0,
        BACKBONE + "with_cffn": False,
        BACKBONE + "mlp_ratio": 1.5,
        HEAD + "num_things_classes": 1,
        HEAD + "num_stuff_classes": 2,
        HEAD + "align_corners": True,
        WINDOWS: dict(mode="whole"),
        AUGMENT + "img_scale": (96, 64),
    },
    "shared_bias": {
        BACKBONE + "num_heads": 4,
        BACKBONE + "depth": 6,
        BACKBONE + "mlp_ratio": 1,
        BACKBONE + "qk_scale": 0.3,
        BACKBONE + "use_shared_rel_pos_bias": True,
        BACKBONE + "interaction_indexes": [[0, 1], [2, 2], [3, 4], [5, 5]],
        BACKBONE + "deform_num_heads": 2,
        BACKBONE + "cffn_ratio": 0.5,
        HEAD + "enforce_decoder_input_project": True,
        HEAD + "num_things_classes": 18,
        HEAD + "num_stuff_classes": 22,
        "spare_names": 5,
    },
    "rectangle": {
        BACKBONE + "img_size": (64, 96),
        BACKBONE + "num_heads": 5,
        BACKBONE + "drop_rate": 0.1,
        BACKBONE + "attn_drop_rate": 0.1,
        BACKBONE + "with_cp": True,
        BACKBONE + "n_points": 3,
        HEAD + "out_channels": 20,
        WINDOWS: dict(mode="slide", crop_size=(64, 96), stride=(32, 40)),
        AUGMENT + "img_scale": (128, 96),
        TRANSFORMS + "0.keep_ratio": False,
        TRANSFORMS + "3.to_rgb": False,
    },
    "two_stages": {
        "embed_dim": 24,
        "levels": 2,
        BACKBONE + "add_vit_feature": False,
        BACKBONE + "interaction_indexes": [[0, 1], [2, 3]],
        BACKBONE + "deform_num_heads": 6,
        BACKBONE + "n_points": 1,
        BACKBONE + "conv_inplane": 6,
        PIXEL + "norm_cfg": dict(type="BN", eps=1e-3),
        PIXEL + "act_cfg": dict(type="GELU"),
        AUGMENT + "img_scale": (112, 80),
    },
    "three_stages": {
        "embed_dim": 24,
        "levels": 4,
        BACKBONE + "add_vit_feature": False,
        BACKBONE + "interaction_indexes": [[0, 0], [1, 2], [3, 3]],
        BACKBONE + "deform_ratio": 0.25,
        BACKBONE + "deform_num_heads": 2,
        PIXEL + "num_outs": 4,
        PIXEL + "norm_cfg": None,
        ENCODER + "transformerlayers.attn_cfgs.num_heads": 4,
        ENCODER + "transformerlayers.norm_cfg": dict(type="LN", eps=1e-2),
        HEAD + "positional_encoding": dict(
            type="SinePositionalEncoding", num_feats=8, normalize=False, temperature=50
        ),
    },
    "one_level": {
        "levels": 1,
        PIXEL + "norm_cfg": None,
        PIXEL + "act_cfg": dict(type="LeakyReLU", negative_slope=0.2),
        PIXEL + "positional_encoding": dict(
            type="SinePositionalEncoding",
            num_feats=8,
            normalize=True,
            offset=-0.5,
            temperature=20,
            scale=3.0,
            eps=1e-3,
        ),
        ENCODER + "num_layers": 1,
        ENCODER + "transformerlayers.ffn_cfgs.act_cfg": dict(type="GELU"),
        ENCODER + "transformerlayers.ffn_cfgs.num_fcs": 3,
        DECODER + "transformerlayers.ffn_cfgs.act_cfg": dict(type="LeakyReLU"),
        DECODER + "transformerlayers.ffn_num_fcs": 3,
        DECODER + "num_layers": 2,
        WINDOWS: dict(mode="whole"),
        AUGMENT + "img_scale": (64, 64),
        TRANSFORMS + "0.keep_ratio": False,
    },
    "pre_norm": {
        HEAD + "positional_encoding": dict(
            type="LearnedPositionalEncoding", num_feats=8, row_num_embed=10, col_num_embed=12
        ),
        PIXEL + "positional_encoding": dict(
            type="LearnedPositionalEncoding", num_feats=8, row_num_embed=8, col_num_embed=8
        ),
        PIXEL + "norm_cfg": dict(type="GN", num_groups=8, eps=1e-2),
        ENCODER + "transformerlayers.operation_order": ("norm", "self_attn", "norm", "ffn"),
        ENCODER + "post_norm_cfg": dict(type="LN", eps=1e-3),
        DECODER + "transformerlayers.operation_order": (
            "norm",
            "cross_attn",
            "norm",
            "self_attn",
            "norm",
            "ffn",
        ),
        DECODER + "transformerlayers.attn_cfgs.num_heads": 8,
        WINDOWS: dict(mode="slide", crop_size=(64, 64), stride=(24, 64)),
        AUGMENT + "img_scale": (100, 70),
    },
    "unusual_order": {
        ENCODER + "transformerlayers.operation_order": ("norm", "ffn", "norm", "self_attn", "ffn"),
        ENCODER + "transformerlayers.ffn_cfgs.add_identity": False,
        DECODER + "transformerlayers.operation_order": (
            "cross_attn",
            "ffn",
            "norm",
            "self_attn",
            "norm",
            "ffn",
        ),
        DECODER + "transformerlayers.norm_cfg": dict(type="LN", eps=1e-2),
        DECODER + "post_norm_cfg": dict(type="LN", eps=1e-3),
        DECODER + "num_layers": 5,
        AUGMENT + "img_scale": REMOVE,
        AUGMENT + "scale_factor": 0.8,
    },
    "augmented": {
        PIXEL + "norm_cfg": dict(type="IN", affine=True),
        BACKBONE + "mlp_ratio": 1,
        AUGMENT + "img_scale": [(96, 64), (128, 80), (200, 70)],
        AUGMENT + "flip": True,
        AUGMENT + "flip_direction": ["horizontal", "vertical"],
        TRANSFORMS + "1": dict(type="Pad", size_divisor=32),
    },
    "absolute_positions": {
        BACKBONE + "img_size": (32, 64),
        BACKBONE + "pretrain_size": 48,
        BACKBONE + "use_abs_pos_emb": True,
        BACKBONE + "use_rel_pos_bias": False,
        BACKBONE + "interaction_indexes": [[0, 1], [1, 2], [2, 3], [3, 3]],
        BACKBONE + "mlp_ratio": 1.33,
        BACKBONE + "qk_scale": 0,
        PIXEL + "act_cfg": None,
        PIXEL + "norm_cfg": dict(type="IN"),
        ENCODER + "transformerlayers.attn_cfgs.num_points": 3,
        DECODER + "transformerlayers.type": "BaseTransformerLayer",
        DECODER + "return_intermediate": False,
        WINDOWS: dict(mode="slide", crop_size=(64, 32), stride=(32, 32)),
        TRANSFORMS + "1.size_divisor": (32, 64),
    },
}


def _put(config: dict, path: str, value: object) -> None:
    """Sets one setting; numbers in the path are places in a list."""
    *parents, last = path.split(".")
    at: object = config
    for part in parents:
        at = at[int(part)] if isinstance(at, list) else at[part]
    if isinstance(at, list):
        at[int(last)] = value
    elif value == REMOVE:
        del at[last]
    else:
        at[last] = value


def variant_config(name: str) -> dict:
    """The whole configuration of a variant."""
    patch = copy.deepcopy(PATCHES[name])
    start = {key: patch.pop(key) for key in ("embed_dim", "feat", "levels") if key in patch}
    spare_names = patch.pop("spare_names", 0)
    config = base_config(**start)
    for path, value in patch.items():
        _put(config, path, value)
    head = config["model"]["decode_head"]
    count = head["num_things_classes"] + head["num_stuff_classes"]
    head["loss_cls"]["class_weight"] = [1.0] * count + [0.1]
    names = [f"class {i}" for i in range(count + spare_names)]
    palette = [[(i + 1) * step % 256 for step in PALETTE_STEP] for i in range(len(names))]
    return dict(CLASSES=names, PALETTE=palette, **config)
