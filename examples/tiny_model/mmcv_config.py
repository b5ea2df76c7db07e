"""The tiny model: ViT-Adapter with a Mask2Former head, small enough for a repository."""

# ruff: noqa: C408  # configurations of this family are written with dict(...)

CLASSES = ("background", "circle", "square", "triangle", "star", "ring", "cross")
PALETTE = [
    [90, 90, 90],
    [230, 60, 60],
    [60, 120, 230],
    [60, 190, 90],
    [245, 200, 50],
    [170, 80, 210],
    [40, 200, 210],
]
num_things_classes = 6
num_stuff_classes = 1
num_classes = num_things_classes + num_stuff_classes

crop_size = (192, 192)
embed_dim = 64
channels = 48
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)

model = dict(
    type="EncoderDecoderMask2Former",
    backbone=dict(
        type="BEiTAdapter",
        img_size=192,
        patch_size=16,
        embed_dim=embed_dim,
        depth=4,
        num_heads=4,
        mlp_ratio=2,
        qkv_bias=True,
        use_abs_pos_emb=False,
        use_rel_pos_bias=True,
        use_shared_rel_pos_bias=False,
        init_values=0.5,
        drop_path_rate=0.0,
        conv_inplane=20,
        n_points=4,
        deform_num_heads=4,
        deform_ratio=0.5,
        with_cffn=True,
        cffn_ratio=0.5,
        add_vit_feature=True,
        interaction_indexes=[[0, 0], [1, 1], [2, 2], [3, 3]],
    ),
    decode_head=dict(
        type="Mask2FormerHeadFromMMSeg",
        in_channels=[embed_dim] * 4,
        in_index=[0, 1, 2, 3],
        feat_channels=channels,
        out_channels=channels,
        num_things_classes=num_things_classes,
        num_stuff_classes=num_stuff_classes,
        num_queries=12,
        num_transformer_feat_level=3,
        pixel_decoder=dict(
            type="MSDeformAttnPixelDecoder",
            num_outs=3,
            norm_cfg=dict(type="GN", num_groups=8),
            act_cfg=dict(type="ReLU"),
            encoder=dict(
                type="DetrTransformerEncoder",
                num_layers=2,
                transformerlayers=dict(
                    type="BaseTransformerLayer",
                    attn_cfgs=dict(
                        type="MultiScaleDeformableAttention",
                        embed_dims=channels,
                        num_heads=4,
                        num_levels=3,
                        num_points=4,
                        dropout=0.0,
                    ),
                    ffn_cfgs=dict(
                        type="FFN",
                        embed_dims=channels,
                        feedforward_channels=2 * channels,
                        num_fcs=2,
                        ffn_drop=0.0,
                        act_cfg=dict(type="ReLU", inplace=True),
                    ),
                    operation_order=("self_attn", "norm", "ffn", "norm"),
                ),
            ),
            positional_encoding=dict(
                type="SinePositionalEncoding", num_feats=channels // 2, normalize=True
            ),
        ),
        enforce_decoder_input_project=False,
        positional_encoding=dict(
            type="SinePositionalEncoding", num_feats=channels // 2, normalize=True
        ),
        transformer_decoder=dict(
            type="DetrTransformerDecoder",
            return_intermediate=True,
            num_layers=3,
            transformerlayers=dict(
                type="DetrTransformerDecoderLayer",
                attn_cfgs=dict(
                    type="MultiheadAttention",
                    embed_dims=channels,
                    num_heads=4,
                    attn_drop=0.0,
                    proj_drop=0.0,
                    batch_first=False,
                ),
                ffn_cfgs=dict(
                    embed_dims=channels,
                    feedforward_channels=2 * channels,
                    num_fcs=2,
                    act_cfg=dict(type="ReLU", inplace=True),
                    ffn_drop=0.0,
                    add_identity=True,
                ),
                feedforward_channels=2 * channels,
                operation_order=("cross_attn", "norm", "self_attn", "norm", "ffn", "norm"),
            ),
        ),
        loss_cls=dict(
            type="CrossEntropyLoss",
            use_sigmoid=False,
            loss_weight=2.0,
            reduction="mean",
            class_weight=[1.0] * num_classes + [0.1],
        ),
        loss_mask=dict(
            type="CrossEntropyLoss", use_sigmoid=True, reduction="mean", loss_weight=5.0
        ),
        loss_dice=dict(
            type="DiceLoss",
            use_sigmoid=True,
            activate=True,
            reduction="mean",
            naive_dice=True,
            eps=1.0,
            loss_weight=5.0,
        ),
    ),
    train_cfg=dict(
        num_points=1024,
        oversample_ratio=3.0,
        importance_sample_ratio=0.75,
        assigner=dict(
            type="MaskHungarianAssigner",
            cls_cost=dict(type="ClassificationCost", weight=2.0),
            mask_cost=dict(type="CrossEntropyLossCost", weight=5.0, use_sigmoid=True),
            dice_cost=dict(type="DiceCost", weight=5.0, pred_act=True, eps=1.0),
        ),
        sampler=dict(type="MaskPseudoSampler"),
    ),
    test_cfg=dict(mode="slide", crop_size=crop_size, stride=(144, 144)),
)

test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="MultiScaleFlipAug",
        img_scale=(768, 192),
        flip=False,
        transforms=[
            dict(type="Resize", keep_ratio=True),
            dict(type="ResizeToMultiple", size_divisor=32),
            dict(type="RandomFlip"),
            dict(type="Normalize", **img_norm_cfg),
            dict(type="ImageToTensor", keys=["img"]),
            dict(type="Collect", keys=["img"]),
        ],
    ),
]
data = dict(samples_per_gpu=1, test=dict(pipeline=test_pipeline))
